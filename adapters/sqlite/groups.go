package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// OpenGroups implements stem.Groups.
func (r *results) OpenGroups(ctx context.Context, groups ...stem.Group) error {
	for _, g := range groups {
		if err := adapters.CheckGroup(g); err != nil {
			return fmt.Errorf("sqlite: open groups: %w", err)
		}
	}
	return r.write(ctx, "open groups", func(tx *tx) error {
		for i := range groups {
			if err := r.openGroup(tx, &groups[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *results) openGroup(tx *tx, g *stem.Group) error {
	if _, err := tx.change("DELETE FROM members WHERE grp = (SELECT seq FROM groups WHERE ns = ? AND id = ?)", r.ns, g.ID); err != nil {
		return err
	}
	meta, err := json.Marshal(g.Meta)
	if err != nil {
		return err
	}
	var callback []byte
	if g.Callback != nil {
		if callback, err = stem.EncodeMessage(g.Callback); err != nil {
			return err
		}
	}
	ttl := adapters.GroupLife(g.TTL)
	_, err = tx.change(`INSERT OR REPLACE INTO groups (ns, id, state, members, ended, succeeded, ttl, expires, callback, meta)
		VALUES (?, ?, ?, ?, 0, 0, ?, ?, ?, ?)`,
		r.ns, g.ID, string(stem.GroupOpen), len(g.Members), ttl.Microseconds(), tx.us+ttl.Microseconds(), callback, string(meta))
	if err != nil {
		return err
	}
	var seq int64
	if err := tx.row("SELECT seq FROM groups WHERE ns = ? AND id = ?", r.ns, g.ID).Scan(&seq); err != nil {
		return err
	}
	members, err := json.Marshal(g.Members)
	if err != nil {
		return err
	}
	_, err = tx.change("INSERT INTO members (grp, task, place) SELECT ?, value, key FROM json_each(?)", seq, string(members))
	return err
}

// LoadGroups implements stem.Groups.
func (r *results) LoadGroups(ctx context.Context, ids ...string) ([]*stem.GroupStatus, error) {
	out := make([]*stem.GroupStatus, len(ids))
	for i, id := range ids {
		var err error
		if out[i], err = r.loadGroup(ctx, id); err != nil {
			return nil, r.readErr("load groups", err)
		}
	}
	return out, nil
}

// loadGroup reads a group and its members in one statement, so that they are of one moment.
func (r *results) loadGroup(ctx context.Context, id string) (*stem.GroupStatus, error) {
	var g *stem.GroupStatus
	err := r.scan(ctx, `SELECT g.state, g.ttl, g.expires, g.callback, g.meta, m.task, m.state FROM groups g JOIN members m ON m.grp = g.seq
		WHERE g.ns = ? AND g.id = ? AND g.expires > ? ORDER BY m.place`, func(rows *sql.Rows) error {
		var state, meta, task, ended string
		var ttl, expires int64
		var callback []byte
		if err := rows.Scan(&state, &ttl, &expires, &callback, &meta, &task, &ended); err != nil {
			return err
		}
		if g == nil {
			g = &stem.GroupStatus{Group: stem.Group{ID: id, TTL: span(ttl)}, State: stem.GroupState(state), Ended: map[string]stem.TaskState{}, Expires: at(expires)}
			if err := json.Unmarshal([]byte(meta), &g.Meta); err != nil {
				return err
			}
			if callback != nil {
				var err error
				if g.Callback, err = stem.DecodeMessage(callback); err != nil {
					return err
				}
			}
		}
		g.Members = append(g.Members, task)
		if ended != "" {
			g.Ended[task] = stem.TaskState(ended)
		}
		return nil
	}, r.ns, id, r.now())
	return g, err
}

// Tally implements stem.Groups.
func (r *results) Tally(ctx context.Context, tallies ...stem.Tally) ([]stem.Tallied, error) {
	out := make([]stem.Tallied, len(tallies))
	err := r.write(ctx, "tally", func(tx *tx) (err error) {
		for i, t := range tallies {
			if out[i], err = r.tally(tx, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Fired implements stem.Groups.
func (r *results) Fired(ctx context.Context, ids ...string) error {
	return r.write(ctx, "fired", func(tx *tx) error {
		for _, id := range ids {
			if err := r.fired(tx, id); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d *db) fired(tx *tx, id string) error {
	_, err := tx.change("UPDATE groups SET state = ? WHERE ns = ? AND id = ? AND state = ?", string(stem.GroupFired), d.ns, id, string(stem.GroupFiring))
	return err
}

// count tallies an end and publishes the callback when it was the last.
func (d *db) count(tx *tx, t stem.Tally) error {
	tallied, err := d.tally(tx, t)
	if err != nil || tallied.Callback == nil {
		return err
	}
	if _, _, err := d.publish(tx, tallied.Callback); err != nil {
		return err
	}
	return d.fired(tx, t.Group)
}

func (d *db) tally(tx *tx, t stem.Tally) (stem.Tallied, error) {
	var out stem.Tallied
	var seq, ttl int64
	var members, ended, succeeded int
	var callback []byte
	err := tx.row("SELECT seq, state, members, ended, succeeded, ttl, callback FROM groups WHERE ns = ? AND id = ? AND expires > ?", d.ns, t.Group, tx.us).
		Scan(&seq, &out.State, &members, &ended, &succeeded, &ttl, &callback)
	if errors.Is(err, sql.ErrNoRows) {
		return out, nil
	} else if err != nil {
		return out, err
	}
	var epoch stem.Epoch
	var before stem.TaskState
	err = tx.row("SELECT epoch, state FROM members WHERE grp = ? AND task = ?", seq, t.TaskID).Scan(&epoch, &before)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return out, err
	}
	if err == nil && t.State.Terminal() && (before == "" || t.Epoch > epoch) {
		if before == "" {
			ended++
		}
		if before == stem.Succeeded {
			succeeded--
		}
		if t.State == stem.Succeeded {
			succeeded++
		}
		out.State = stem.GroupStateOf(out.State, members, ended, succeeded, callback != nil)
		if _, err := tx.change("UPDATE members SET epoch = ?, state = ? WHERE grp = ? AND task = ?", int64(t.Epoch), string(t.State), seq, t.TaskID); err != nil {
			return out, err
		}
		if _, err := tx.change("UPDATE groups SET state = ?, ended = ?, succeeded = ?, expires = max(expires, ?) WHERE seq = ?",
			string(out.State), ended, succeeded, tx.us+ttl, seq); err != nil {
			return out, err
		}
	}
	if out.State == stem.GroupFiring {
		out.Callback, err = stem.DecodeMessage(callback)
		return out, err
	}
	return out, nil
}
