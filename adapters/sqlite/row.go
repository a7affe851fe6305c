package sqlite

import (
	"database/sql"
	"strconv"
	"strings"
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
	name, header, body, signature, key_id, extra, unique_key, unique_for`

// row is a row of tasks.
type row struct {
	seq, queue, due, until, updated int64
	owner                           sql.NullString
	msg                             stem.Message // without its queue's name
}

func (r *row) scan(rows interface{ Scan(...any) error }) error {
	var created, lease, uniqueFor int64
	var keyID, uniqueKey sql.NullString
	var extra []byte
	m := &r.msg
	err := rows.Scan(&r.seq, &m.ID, &r.queue, &m.Priority, &r.due, &m.State.Epoch, &r.owner, &r.until, &m.State.Redeliveries,
		&m.State.AckedEarly, &m.State.Replays, &created, &r.updated, &lease, &m.GeneratedID,
		&m.Name, &m.Envelope.Header, &m.Envelope.Body, &m.Envelope.Signature, &keyID, &extra, &uniqueKey, &uniqueFor)
	if err != nil {
		return err
	}
	m.Envelope.KeyID = keyID.String
	m.State.Created, m.State.NotBefore, m.Lease = at(created), at(r.due), span(lease)
	m.Unique = stem.Reservation{Key: uniqueKey.String, For: span(uniqueFor)}
	return stem.DecodeState(extra, &m.State)
}

// tasks reads the rows of a query that selects columns.
func (tx *tx) tasks(query string, args ...any) ([]row, error) {
	rows, err := tx.rows(query, args...)
	if err != nil {
		return nil, err
	}
	var out []row
	err = drain(rows, func(rows *sql.Rows) error {
		var r row
		err := r.scan(rows)
		out = append(out, r)
		return err
	})
	return out, err
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

// span is the duration of a column.
func span(us int64) time.Duration { return time.Duration(us) * time.Microsecond }

// place is what a receipt's position says: the row, whether the id was chosen and is to be remembered, and whether there is a
// unique key to renew and give up.
type place struct {
	seq            int64
	chosen, unique bool
}

func (r *row) place() place {
	return place{seq: r.seq, chosen: !r.msg.GeneratedID, unique: r.msg.Unique.Key != ""}
}

func (p place) String() string {
	s := strconv.FormatInt(p.seq, 10)
	if p.chosen {
		s += "c"
	}
	if p.unique {
		s += "u"
	}
	return s
}

func parsePlace(s string) (p place, ok bool) {
	s, p.unique = strings.CutSuffix(s, "u")
	s, p.chosen = strings.CutSuffix(s, "c")
	var err error
	p.seq, err = strconv.ParseInt(s, 10, 64)
	return p, err == nil
}
