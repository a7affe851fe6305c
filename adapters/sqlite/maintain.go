package sqlite

import (
	"context"
	"time"

	"github.com/stemd/stem"
)

const (
	// maintainSlice is how many rows of a table one slice deletes.
	maintainSlice = 500
	// hintTTL is how long a hint may reach a slow process.
	hintTTL = time.Minute
)

// Maintain implements stem.Maintainer.
func (b *broker) Maintain(ctx context.Context) (stem.Maintained, error) {
	var m stem.Maintained
	err := b.write(ctx, "maintain", func(tx *tx) error {
		m = stem.Maintained{}
		deadUntil := int64(0) // for ever
		if b.opts.DeadLetters >= 0 {
			deadUntil = tx.us - b.opts.DeadLetters.Microseconds()
		}
		hints := 0
		for _, t := range []struct {
			query string
			until int64
			count *int
		}{
			{"DELETE FROM results WHERE seq IN (SELECT seq FROM results WHERE expires <= ? AND ns = ? LIMIT ?)", tx.us, &m.Results},
			{"DELETE FROM dead WHERE seq IN (SELECT seq FROM dead WHERE dead_at <= ? AND ns = ? LIMIT ?)", deadUntil, &m.DeadLetters},
			{"DELETE FROM records WHERE rowid IN (SELECT rowid FROM records WHERE expires > 0 AND expires <= ? AND ns = ? LIMIT ?)", tx.us, &m.Records},
			{"DELETE FROM seen WHERE (ns, id) IN (SELECT ns, id FROM seen WHERE until <= ? AND ns = ? LIMIT ?)", tx.us, &m.SeenIDs},
			{"DELETE FROM hints WHERE seq IN (SELECT seq FROM hints WHERE at <= ? AND ns = ? LIMIT ?)", tx.us - hintTTL.Microseconds(), &hints},
		} {
			n, err := tx.change(t.query, t.until, b.ns, maintainSlice)
			if err != nil {
				return err
			}
			*t.count = int(n)
			m.More = m.More || n == maintainSlice
		}
		return nil
	})
	return m, err
}
