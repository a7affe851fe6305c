package redis

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// Flags of a task's state, as in lua/state.lua.
const (
	flagAcked  = 1
	flagChosen = 2
	flagUnique = 4
	flagLeased = 8 // it has a lease of its own
)

var (
	order    = binary.LittleEndian
	errShort = errors.New("a value is shorter than it says: it was not written by this program")
)

// state is a task's state as the scripts keep it.
type state struct {
	stem.State
	updated int64
	flags   byte
	rank    int64 // of one that was decoded by decodeState
	owner   string
	queue   string
}

// reader takes values off the front of a string; err is set when there is not enough.
type reader struct {
	s   string
	err error
}

func (r *reader) take(n int) string {
	if n < 0 || n > len(r.s) {
		r.s, r.err = "", errShort
		return ""
	}
	out := r.s[:n]
	r.s = r.s[n:]
	return out
}

// number is a float64, which holds every microsecond of the next two hundred years.
func (r *reader) number() int64 {
	b := r.take(8)
	if b == "" {
		return 0
	}
	return int64(math.Float64frombits(order.Uint64([]byte(b))))
}

func (r *reader) byte() byte {
	if b := r.take(1); b != "" {
		return b[0]
	}
	return 0
}

func (r *reader) short() int {
	if b := r.take(2); b != "" {
		return int(b[0]) | int(b[1])<<8
	}
	return 0
}

func (r *reader) long() int {
	if b := r.take(4); b != "" {
		return int(order.Uint32([]byte(b)))
	}
	return 0
}

func (r *reader) name() string { return r.take(r.short()) }
func (r *reader) blob() string { return r.take(r.long()) }

func number(b []byte, n int64) []byte {
	return order.AppendUint64(b, math.Float64bits(float64(n)))
}
func short(b []byte, n int) []byte   { return order.AppendUint16(b, uint16(n)) }
func name(b []byte, s string) []byte { return append(short(b, len(s)), s...) }
func blob(b []byte, s []byte) []byte { return append(order.AppendUint32(b, uint32(len(s))), s...) }

// decodeState reads what lua/state.lua seals.
func decodeState(value string) (state, error) {
	r := &reader{s: value}
	var s state
	s.Epoch, s.updated, s.Redeliveries, s.flags = stem.Epoch(r.number()), r.number(), r.short(), r.byte()
	rank, due, created, _ := r.number(), r.number(), r.number(), r.number()
	s.rank, s.Replays = rank, r.short()
	s.owner, s.queue = r.name(), r.name()
	_, _ = r.name(), r.number() // the unique key, which the message has too
	if r.err != nil {
		return s, r.err
	}
	s.NotBefore, s.Created, s.AckedEarly = at(due), at(created), s.flags&flagAcked != 0
	return s, stem.DecodeState([]byte(r.s), &s.State)
}

// encodeMessage gives the value that lua/arrive.lua takes: numbers, tail, and the message with its body last. queue is the number of its
// queue in the call.
func encodeMessage(m *stem.Message, queue int) ([]byte, error) {
	return appendMessage(nil, m, queue)
}

// appendMessage appends what encodeMessage gives.
func appendMessage(given []byte, m *stem.Message, queue int) ([]byte, error) {
	extra, err := stem.EncodeState(m.State)
	if err != nil {
		return nil, err
	}
	bare := *m
	bare.Envelope.Body, bare.State = nil, stem.State{}
	fields, err := stem.EncodeMessage(&bare)
	if err != nil {
		return nil, err
	}
	u := m.Unique
	var flags byte
	if !m.GeneratedID {
		flags |= flagChosen
	}
	if u.Key != "" {
		flags |= flagUnique
	}
	if m.Lease > 0 {
		flags |= flagLeased
	}
	tail := 2 + len(m.Queue) + 2 + len(u.Key) + 8 + len(extra)
	given = slices.Grow(given, 3*8+2+2*2+tail+4+len(fields)+len(m.Envelope.Body))
	for _, n := range [...]int64{us(m.State.NotBefore), int64(m.State.Epoch), m.Lease.Microseconds()} {
		given = number(given, n)
	}
	given = append(given, flags, byte(stem.MaxPriority-m.Priority))
	given = short(short(given, queue), tail)
	given = number(name(name(given, m.Queue), u.Key), adapters.ReservedFor(u).Microseconds())
	given = blob(append(given, extra...), fields)
	return append(given, m.Envelope.Body...), nil
}

// decodeArrived reads a body's value: the state of a task that was never claimed, and what decodeMessage takes.
func decodeArrived(value string) (s state, rest string, err error) {
	r := &reader{s: value}
	epoch, created, _ := r.number(), r.number(), r.number()
	if r.err != nil {
		return s, "", r.err
	}
	return decodeGiven(r.s, epoch, created)
}

// decodeGiven reads what encodeMessage wrote of a task that arrived then.
func decodeGiven(given string, epoch, created int64) (s state, rest string, err error) {
	r := &reader{s: given}
	s.Epoch, s.updated = stem.Epoch(epoch), created
	due, _, _ := r.number(), r.number(), r.number()
	s.flags, _, _ = r.byte(), r.byte(), r.short()
	tail := &reader{s: r.name()}
	s.queue, _, _ = tail.name(), tail.name(), tail.number()
	if err := cmp.Or(r.err, tail.err); err != nil {
		return s, "", err
	}
	s.NotBefore, s.Created = at(due), at(s.updated)
	return s, r.s, stem.DecodeState([]byte(tail.s), &s.State)
}

// decodeMessage reads a message from its state and what decodeArrived gives; the body may have been left out.
func decodeMessage(s state, rest string) (stem.Message, error) {
	r := &reader{s: rest}
	fields := r.blob()
	if r.err != nil {
		return stem.Message{}, r.err
	}
	m, err := stem.DecodeMessage([]byte(fields))
	if err != nil {
		return stem.Message{}, err
	}
	m.Envelope.Body = []byte(r.s)
	m.Queue, m.State = s.queue, s.State
	return *m, nil
}

// at is the time of a number; 0 is none.
func at(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// us is the number of a time; none is 0.
func us(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
