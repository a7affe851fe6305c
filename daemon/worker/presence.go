package worker

import (
	"context"
	"errors"
	"time"

	"github.com/stemd/stem"
)

// presence is the heartbeat as it was last written, by which a worker learns that the store has lost it. The zero value has written none.
// One goroutine at a time may use it.
type presence struct {
	version int64
	until   time.Time // when it expires
	seen    bool      // it was found as it had been written: the store keeps what it is given
}

// save writes a heartbeat, which is the first of the writes, and manifests. It says whether the heartbeat before it is gone although it has
// not expired; alone says that nobody else writes and deletes it.
func (p *presence) save(ctx context.Context, records stem.Records, writes []stem.RecordWrite, alone bool) (gone bool, err error) {
	beat := &writes[0]
	if p.version != 0 {
		beat.Op, beat.IfVersion = stem.ReplaceRecord, p.version
	}
	versions, err := records.Save(ctx, writes...)
	if errors.Is(err, stem.ErrConflict) { // if it is there, another generation wrote it, or the answer to our own write was lost
		found, err := records.Load(ctx, beat.Record.RecordRef)
		if err != nil {
			return false, err
		}
		gone = found[0] == nil && p.seen && alone && time.Now().Round(0).Before(p.until) // by the wall: it may be this host that stood still
		p.seen = false
		beat.Op, beat.IfVersion = stem.PutRecord, 0
		if versions, err = records.Save(ctx, writes...); err != nil {
			return gone, err
		}
	} else if err != nil {
		return false, err
	}
	*p = presence{version: versions[0], until: beat.Record.Expires.Round(0), seen: alone && beat.Op == stem.ReplaceRecord}
	return gone, nil
}
