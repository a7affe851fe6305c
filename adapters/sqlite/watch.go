package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// Watch implements stem.Results: it looks again after every commit of any process.
func (r *results) Watch(ctx context.Context, id string) (<-chan stem.Status, error) {
	bell := r.waker.wait(ofResults)
	loaded, err := r.Load(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	out := make(chan stem.Status)
	go func() {
		defer close(out)
		for viewer := (adapters.Viewer{Out: out}); ; {
			if viewer.Show(ctx, loaded[0]) || rest(ctx, bell, pollEvery) != nil {
				return
			}
			bell = r.waker.wait(ofResults)
			next, err := r.Load(ctx, id)
			if err == nil {
				loaded = next
			}
		}
	}()
	return out, nil
}

// bus is the Bus of a db: a table that every process reads after every commit.
type bus struct{ *db }

var _ stem.Bus = (*bus)(nil)

// Send implements stem.Bus.
func (b *bus) Send(ctx context.Context, topic string, payload []byte) error {
	return b.write(ctx, "send hint", func(tx *tx) error {
		_, err := tx.change("INSERT INTO hints (ns, topic, payload, at) VALUES (?, ?, ?, ?)", b.ns, topic, payload, tx.us)
		return err
	})
}

// Subscribe implements stem.Bus.
func (b *bus) Subscribe(ctx context.Context, topic string) (<-chan []byte, error) {
	var last int64
	err := b.scan(ctx, "SELECT coalesce(max(seq), 0) FROM hints", func(rows *sql.Rows) error { return rows.Scan(&last) })
	if err != nil {
		return nil, b.readErr("subscribe", err)
	}
	const backlog = 64 // hints a slow reader may be behind before it loses some
	out := make(chan []byte, backlog)
	go func() {
		defer close(out)
		for {
			bell := b.waker.wait(ofHints)
			err := b.scan(ctx, "SELECT seq, topic, payload FROM hints WHERE seq > ? AND ns = ? ORDER BY seq", func(rows *sql.Rows) error {
				var of string
				var payload []byte
				if err := rows.Scan(&last, &of, &payload); err != nil || of != topic {
					return err
				}
				select {
				case out <- payload:
				default: // a slow reader loses hints
				}
				return nil
			}, last, b.ns)
			// A hint that can not be read is lost like any other; the next look may work.
			if ctx.Err() != nil || b.readErr("hints", err) != nil && b.closed() {
				return
			}
			if rest(ctx, bell, pollEvery) != nil {
				return
			}
		}
	}()
	return out, nil
}

func (d *db) closed() bool {
	return d.writer != nil && d.writer.isClosed()
}
