package stem

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	taskv1 "github.com/stemd/stem/plugin/proto/stem/task/v1"
	"google.golang.org/protobuf/proto"
)

// Header is the readable half of an envelope: everything a producer says about a task but its arguments.
type Header struct {
	ID            string
	Name          string
	Namespace     string
	EnqueuedAt    time.Time
	NotBefore     time.Time
	ExpiresAt     time.Time
	Encoder       string // of the body; empty: JSON
	Options       Options
	ParentID      string
	ParentAttempt int
	RootID        string
	Headers       map[string]string
	Meta          map[string]json.RawMessage
	Producer      string
	Canvas        Canvas
	Shadow        string
	ReplyTo       string
}

// Canvas names the composition a task belongs to. The zero value: none.
type Canvas struct {
	GroupID    string
	ChainID    string
	ChainIndex int
	ChordID    string
	InputIDs   []string
}

// Options of a task. A nil field was not set and is left to the definition, the manifest and configuration, in that order.
type Options struct {
	Queue        *string
	Priority     *int
	MaxRetries   *int
	RetryPolicy  *RetryPolicy
	SoftLimit    *time.Duration
	HardLimit    *time.Duration
	AcksLate     *bool
	Lease        *time.Duration // visibilityTimeout: length of this message's lease
	IgnoreResult *bool
	// HeartbeatTimeout is the longest silence of a handler before its process is killed.
	HeartbeatTimeout *time.Duration

	Unique                      *bool
	UniqueFor                   *time.Duration
	UniqueKey                   *string
	RateLimit                   *string
	GroupRateLimit              *string
	GroupRateKey                *string
	GroupRateKeyHeader          *string
	GroupRateLimiterFailureMode *string
	Serializer                  *string
	Compression                 *string
	Exchange                    *string
	RoutingKey                  *string
	PublishConnection           *string
	Link                        []Envelope
	LinkError                   []Envelope
}

// Over returns o with every unset field taken from base.
func (o Options) Over(base Options) Options {
	fill(&o.Queue, base.Queue)
	fill(&o.Priority, base.Priority)
	fill(&o.MaxRetries, base.MaxRetries)
	fill(&o.RetryPolicy, base.RetryPolicy)
	fill(&o.SoftLimit, base.SoftLimit)
	fill(&o.HardLimit, base.HardLimit)
	fill(&o.AcksLate, base.AcksLate)
	fill(&o.Lease, base.Lease)
	fill(&o.IgnoreResult, base.IgnoreResult)
	fill(&o.HeartbeatTimeout, base.HeartbeatTimeout)
	fill(&o.Unique, base.Unique)
	fill(&o.UniqueFor, base.UniqueFor)
	fill(&o.UniqueKey, base.UniqueKey)
	fill(&o.RateLimit, base.RateLimit)
	fill(&o.GroupRateLimit, base.GroupRateLimit)
	fill(&o.GroupRateKey, base.GroupRateKey)
	fill(&o.GroupRateKeyHeader, base.GroupRateKeyHeader)
	fill(&o.GroupRateLimiterFailureMode, base.GroupRateLimiterFailureMode)
	fill(&o.Serializer, base.Serializer)
	fill(&o.Compression, base.Compression)
	fill(&o.Exchange, base.Exchange)
	fill(&o.RoutingKey, base.RoutingKey)
	fill(&o.PublishConnection, base.PublishConnection)
	if o.Link == nil {
		o.Link = base.Link
	}
	if o.LinkError == nil {
		o.LinkError = base.LinkError
	}
	return o
}

func fill[T any](dst **T, base *T) {
	if *dst == nil {
		*dst = base
	}
}

// EncodeHeader gives the bytes that go into an Envelope.
func EncodeHeader(h *Header) ([]byte, error) {
	w := wires.Get().(*wire)
	defer w.free()
	m, err := w.of(h)
	if err != nil {
		return nil, err
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// DecodeHeader reads an envelope's header. Unknown fields are ignored.
func DecodeHeader(b []byte) (*Header, error) {
	var m taskv1.Header
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("task header: %w", err)
	}
	return HeaderFromProto(&m)
}

// Proto converts to the wire form.
func (h *Header) Proto() (*taskv1.Header, error) { return new(wire).of(h) }

// wire is room for a header in its wire form. It is used again: it would be a third of the garbage of those who enqueue.
type wire struct {
	header  taskv1.Header
	options taskv1.Options
}

var wires = sync.Pool{New: func() any { return new(wire) }}

func (w *wire) free() {
	w.header.Reset()
	w.options.Reset()
	wires.Put(w)
}

// of fills w, which is empty.
func (w *wire) of(h *Header) (*taskv1.Header, error) {
	meta, err := encodeMeta(h.Meta)
	if err != nil {
		return nil, err
	}
	m := &w.header
	m.Id, m.Name, m.Namespace = h.ID, h.Name, h.Namespace
	m.EnqueuedAt, m.NotBefore, m.ExpiresAt = micros(h.EnqueuedAt), micros(h.NotBefore), micros(h.ExpiresAt)
	m.Encoder, m.Headers, m.Meta, m.Producer, m.Shadow, m.ReplyTo = h.Encoder, h.Headers, meta, h.Producer, h.Shadow, h.ReplyTo
	m.ParentId, m.ParentAttempt, m.RootId = h.ParentID, int32(h.ParentAttempt), h.RootID
	if h.Options.into(&w.options) {
		m.Options = &w.options
	}
	if c := h.Canvas; c.GroupID != "" || c.ChainID != "" || c.ChordID != "" || len(c.InputIDs) > 0 {
		m.Canvas = &taskv1.Canvas{GroupId: c.GroupID, ChainId: c.ChainID, ChainIndex: int32(c.ChainIndex), ChordId: c.ChordID, InputIds: c.InputIDs}
	}
	return m, nil
}

// HeaderFromProto converts from the wire form.
func HeaderFromProto(m *taskv1.Header) (*Header, error) {
	meta, err := decodeMeta(m.Meta)
	if err != nil {
		return nil, err
	}
	h := &Header{
		ID: m.Id, Name: m.Name, Namespace: m.Namespace, EnqueuedAt: fromMicros(m.EnqueuedAt), NotBefore: fromMicros(m.NotBefore),
		ExpiresAt: fromMicros(m.ExpiresAt), Encoder: m.Encoder, Options: OptionsFromProto(m.Options), ParentID: m.ParentId,
		ParentAttempt: int(m.ParentAttempt), RootID: m.RootId, Headers: m.Headers, Meta: meta, Producer: m.Producer,
		Shadow: m.Shadow, ReplyTo: m.ReplyTo,
	}
	if c := m.Canvas; c != nil {
		h.Canvas = Canvas{GroupID: c.GroupId, ChainID: c.ChainId, ChainIndex: int(c.ChainIndex), ChordID: c.ChordId, InputIDs: c.InputIds}
	}
	return h, nil
}

// Proto converts to the wire form; nil when nothing is set.
func (o Options) Proto() *taskv1.Options {
	m := new(taskv1.Options)
	if !o.into(m) {
		return nil
	}
	return m
}

// into fills a message that is empty and says whether anything is set.
func (o *Options) into(m *taskv1.Options) bool {
	m.Queue, m.Priority, m.MaxRetries, m.RetryPolicy = o.Queue, int32p(o.Priority), int32p(o.MaxRetries), o.RetryPolicy.Proto()
	m.SoftLimit, m.HardLimit, m.HeartbeatTimeout = durationp(o.SoftLimit), durationp(o.HardLimit), durationp(o.HeartbeatTimeout)
	m.AcksLate, m.Lease, m.IgnoreResult = o.AcksLate, durationp(o.Lease), o.IgnoreResult
	m.Unique, m.UniqueFor, m.UniqueKey = o.Unique, durationp(o.UniqueFor), o.UniqueKey
	m.RateLimit, m.GroupRateLimit, m.GroupRateKey = o.RateLimit, o.GroupRateLimit, o.GroupRateKey
	m.GroupRateKeyHeader, m.GroupRateLimiterFailureMode = o.GroupRateKeyHeader, o.GroupRateLimiterFailureMode
	m.Serializer, m.Compression = o.Serializer, o.Compression
	m.Exchange, m.RoutingKey, m.PublishConnection = o.Exchange, o.RoutingKey, o.PublishConnection
	m.Link, m.LinkError = envelopesProto(o.Link), envelopesProto(o.LinkError)
	return proto.Size(m) > 0
}

// OptionsFromProto converts from the wire form; nil gives no options.
func OptionsFromProto(m *taskv1.Options) Options {
	if m == nil {
		return Options{}
	}
	return Options{
		Queue: m.Queue, Priority: intp(m.Priority), MaxRetries: intp(m.MaxRetries), RetryPolicy: RetryPolicyFromProto(m.RetryPolicy),
		SoftLimit: fromDurationp(m.SoftLimit), HardLimit: fromDurationp(m.HardLimit), AcksLate: m.AcksLate, Lease: fromDurationp(m.Lease),
		IgnoreResult: m.IgnoreResult, HeartbeatTimeout: fromDurationp(m.HeartbeatTimeout), Unique: m.Unique, UniqueFor: fromDurationp(m.UniqueFor), UniqueKey: m.UniqueKey,
		RateLimit: m.RateLimit, GroupRateLimit: m.GroupRateLimit, GroupRateKey: m.GroupRateKey,
		GroupRateKeyHeader: m.GroupRateKeyHeader, GroupRateLimiterFailureMode: m.GroupRateLimiterFailureMode,
		Serializer: m.Serializer, Compression: m.Compression, Exchange: m.Exchange, RoutingKey: m.RoutingKey,
		PublishConnection: m.PublishConnection, Link: envelopesFromProto(m.Link), LinkError: envelopesFromProto(m.LinkError),
	}
}

func envelopesProto(es []Envelope) []*taskv1.Envelope {
	var out []*taskv1.Envelope
	for _, e := range es {
		out = append(out, &taskv1.Envelope{Header: e.Header, Body: e.Body, Signature: e.Signature, KeyId: e.KeyID})
	}
	return out
}

func envelopesFromProto(ms []*taskv1.Envelope) []Envelope {
	var out []Envelope
	for _, m := range ms {
		out = append(out, Envelope{Header: m.Header, Body: m.Body, Signature: m.Signature, KeyID: m.KeyId})
	}
	return out
}

func encodeMeta(meta map[string]json.RawMessage) ([]byte, error) {
	if len(meta) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(meta)
	if err != nil {
		return nil, fmt.Errorf("meta: %w", err)
	}
	return b, nil
}

func decodeMeta(b []byte) (map[string]json.RawMessage, error) {
	if len(b) == 0 {
		return nil, nil
	}
	var meta map[string]json.RawMessage
	if err := json.Unmarshal(b, &meta); err != nil {
		return nil, fmt.Errorf("meta: %w", err)
	}
	return meta, nil
}
