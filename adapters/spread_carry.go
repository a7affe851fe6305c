package adapters

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stemd/stem"
)

// What a spread store must know of a task wherever it meets it, and its lane must not act on, travels where lanes do not look: the
// reservation in front of the key id of the envelope, and with a receipt in front of its position.

var errCarried = errors.New("it was not made by a spread store")

// carriage marks a key id with something in front of it; no other begins with it.
const carriage = "\x00"

// toLane is a message as its lane is to keep it: without its unique key, which is none of the lane's business.
func toLane(m stem.Message) stem.Message {
	if m.Unique.Key != "" || strings.HasPrefix(m.Envelope.KeyID, carriage) {
		m.Envelope.KeyID = carriage + carry(m.Unique) + m.Envelope.KeyID
		m.Unique = stem.Reservation{}
	}
	return m
}

// fromLane undoes toLane.
func fromLane(m *stem.Message) error {
	rest, carried := strings.CutPrefix(m.Envelope.KeyID, carriage)
	if !carried {
		return nil
	}
	var err error
	m.Unique, m.Envelope.KeyID, err = uncarry(rest)
	return err
}

// carry is text, as key ids are: length of the reservation, length of the key, key.
func carry(u stem.Reservation) string {
	return fmt.Sprintf("%d:%d:%s", u.For, len(u.Key), u.Key)
}

func uncarry(s string) (u stem.Reservation, rest string, err error) {
	length, s, _ := strings.Cut(s, ":")
	size, s, ok := strings.Cut(s, ":")
	d, err := strconv.ParseInt(length, 10, 64)
	n, bad := strconv.Atoi(size)
	if err != nil || bad != nil || !ok || n < 0 || n > len(s) {
		return u, "", errCarried
	}
	return stem.Reservation{Key: s[:n], For: time.Duration(d)}, s[n:], nil
}

// held is a claim: its receipt in its lane, and what must be known of its task.
type held struct {
	stem.Receipt
	lane      string
	unique    stem.Reservation
	generated bool // the id was not chosen
}

// Marks of a receipt's position.
const (
	generatedID = "g"
	chosenID    = "c"
)

// outside is the receipt that is given out.
func (h held) outside() stem.Receipt {
	r, mark := h.Receipt, chosenID
	if h.generated {
		mark = generatedID
	}
	r.Position = mark + carry(h.unique) + r.Position
	return r
}

// inside reads a receipt that was given out; one that was not is no claim of anything.
func (b *spreadBroker) inside(r stem.Receipt) held {
	h := held{Receipt: r, lane: b.laneOf(r.Queue)}
	rest, chosen := strings.CutPrefix(r.Position, chosenID)
	if !chosen {
		rest, h.generated = strings.CutPrefix(r.Position, generatedID)
	}
	if u, position, err := uncarry(rest); err == nil {
		h.unique, h.Position = u, position
	}
	return h
}
