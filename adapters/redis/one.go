package redis

import (
	"context"

	"github.com/stemd/stem"
)

// publishOne publishes one plain message as cheaply as can be: most producers enqueue one task at a time. false: something is known of its
// id, or something comes before it, so what becomes of it is for lua/publish.lua to say.
func (d *db) publishOne(ctx context.Context, m *stem.Message) (bool, error) {
	given, err := encodeMessage(m, 1)
	if err != nil {
		return false, err
	}
	s := d.scripts["one"]
	known, err := d.eval(ctx, s, d.keys.lanes(m.Queue).of(s), d.clock(), m.ID, given, stem.MaxPriority-m.Priority, m.Queue).Int64()
	return known == 0, err
}
