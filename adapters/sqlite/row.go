package sqlite

import (
	"database/sql"
	"strconv"
	"time"

	"github.com/stemd/stem"
)

// States of a row in tasks.
const (
	ready = iota
	delayed
	leased
)

// columns of a task, in the order that row.scan reads them.
const columns = `seq, id, queue, priority, due, epoch, owner, until, redeliveries, acked, replays, created, updated, lease, generated,
	name, header, body, signature, key_id, extra`

// row is a row of tasks.
type row struct {
	seq, queue, due, until, updated int64
	owner                           sql.NullString
	msg                             stem.Message // without its queue's name
}

func (r *row) scan(rows interface{ Scan(...any) error }) error {
	var created, lease int64
	var keyID sql.NullString
	var extra []byte
	m := &r.msg
	err := rows.Scan(&r.seq, &m.ID, &r.queue, &m.Priority, &r.due, &m.State.Epoch, &r.owner, &r.until, &m.State.Redeliveries,
		&m.State.AckedEarly, &m.State.Replays, &created, &r.updated, &lease, &m.GeneratedID,
		&m.Name, &m.Envelope.Header, &m.Envelope.Body, &m.Envelope.Signature, &keyID, &extra)
	if err != nil {
		return err
	}
	m.Envelope.KeyID = keyID.String
	m.State.Created, m.State.NotBefore, m.Lease = at(created), at(r.due), time.Duration(lease)*time.Microsecond
	return stem.DecodeState(extra, &m.State)
}

// at is the time of a column; 0 is none.
func at(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// us is the column of a time; none is 0.
func us(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// position of a receipt: the row, and whether the id was chosen and is to be remembered.
func position(seq int64, generated bool) string {
	if generated {
		return strconv.FormatInt(seq, 10)
	}
	return strconv.FormatInt(seq, 10) + "c"
}

func parsePosition(p string) (seq int64, chosen bool, ok bool) {
	if n := len(p); n > 0 && p[n-1] == 'c' {
		chosen, p = true, p[:n-1]
	}
	seq, err := strconv.ParseInt(p, 10, 64)
	return seq, chosen, err == nil
}
