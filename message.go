package stem

import (
	"fmt"
	"time"

	taskv1 "github.com/stemd/stem/plugin/proto/stem/task/v1"
	"google.golang.org/protobuf/proto"
)

// EncodeMessage encodes a message that is to be published later, for an adapter's column. Of its State only NotBefore is kept.
func EncodeMessage(m *Message) ([]byte, error) {
	e := m.Envelope
	return proto.Marshal(&taskv1.Message{
		Id: m.ID, Name: m.Name, Queue: m.Queue, Priority: int32(m.Priority),
		Envelope:  &taskv1.Envelope{Header: e.Header, Body: e.Body, Signature: e.Signature, KeyId: e.KeyID},
		NotBefore: micros(m.State.NotBefore), Lease: m.Lease.Microseconds(), GeneratedId: m.GeneratedID,
		UniqueKey: m.Unique.Key, UniqueFor: m.Unique.For.Microseconds(),
	})
}

// DecodeMessage reads what EncodeMessage wrote.
func DecodeMessage(b []byte) (*Message, error) {
	var p taskv1.Message
	if err := proto.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	m := &Message{
		ID: p.Id, Name: p.Name, Queue: p.Queue, Priority: int(p.Priority), Lease: time.Duration(p.Lease) * time.Microsecond,
		GeneratedID: p.GeneratedId, State: State{NotBefore: fromMicros(p.NotBefore)},
		Unique: Reservation{Key: p.UniqueKey, For: time.Duration(p.UniqueFor) * time.Microsecond},
	}
	if e := p.Envelope; e != nil {
		m.Envelope = Envelope{Header: e.Header, Body: e.Body, Signature: e.Signature, KeyID: e.KeyId}
	}
	return m, nil
}
