package stem

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// CheckName says whether a task name, queue, id or namespace can be used. what names it in the error.
func CheckName(what, name string) error {
	switch {
	case name == "":
		return &OptionError{what, "is empty"}
	case len(name) > MaxName:
		return &OptionError{what, fmt.Sprintf("is %d bytes, the limit is %d", len(name), MaxName)}
	case strings.TrimSpace(name) != name:
		return &OptionError{what, fmt.Sprintf("%q has blanks around it", name)}
	case strings.ContainsFunc(name, unicode.IsControl):
		return &OptionError{what, fmt.Sprintf("%q has a control character", name)}
	}
	return nil
}

// check refuses options whose values make no sense.
func (o *Options) check() error {
	if name := o.unsupported(); name != "" {
		return &OptionError{name, "is not supported yet by this version"}
	}
	if o.Queue != nil {
		if err := CheckName("queue", *o.Queue); err != nil {
			return err
		}
		for _, reserved := range []string{ParkedPrefix, BroadcastPrefix} {
			if strings.HasPrefix(*o.Queue, reserved) {
				return &OptionError{"queue", fmt.Sprintf("%q: names that begin with %q are reserved", *o.Queue, reserved)}
			}
		}
	}
	if p := o.Priority; p != nil && (*p < 0 || *p > MaxPriority) {
		return &OptionError{"priority", fmt.Sprintf("is %d, want 0 to %d", *p, MaxPriority)}
	}
	if n := o.MaxRetries; n != nil && *n < 0 {
		return &OptionError{"maxRetries", fmt.Sprintf("is %d, want 0 or more", *n)}
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
	}{{"softTimeLimit", o.SoftLimit}, {"hardTimeLimit", o.HardLimit}, {"heartbeatTimeout", o.HeartbeatTimeout}, {"visibilityTimeout", o.Lease}} {
		if d.value != nil && *d.value <= 0 {
			return &OptionError{d.name, fmt.Sprintf("is %s, want more than 0", *d.value)}
		}
	}
	if o.SoftLimit != nil && o.HardLimit != nil && *o.SoftLimit > *o.HardLimit {
		return &OptionError{"softTimeLimit", fmt.Sprintf("%s is over the hard limit %s", *o.SoftLimit, *o.HardLimit)}
	}
	if p := o.RetryPolicy; p != nil && (p.DefaultDelay < 0 || p.BackoffMax < 0 || p.MaxRetries != nil && *p.MaxRetries < 0) {
		return &OptionError{"retryPolicy", "has a negative delay or count"}
	}
	return nil
}

// BuildMessage makes the message of a header and an encoded body: it fills in what is missing (id, time of publishing), refuses
// what can not work, and encodes the header once.
func BuildMessage(namespace string, h *Header, body []byte) (Message, error) {
	generated := h.ID == ""
	if generated {
		h.ID = NewID()
	}
	h.Namespace = namespace
	if h.EnqueuedAt.IsZero() {
		h.EnqueuedAt = time.Now().UTC()
	}
	if err := CheckName("task name", h.Name); err != nil {
		return Message{}, err
	}
	if err := CheckName("taskId", h.ID); err != nil {
		return Message{}, err
	}
	if err := h.Options.check(); err != nil {
		return Message{}, err
	}
	header, err := EncodeHeader(h)
	if err != nil {
		return Message{}, err
	}
	m := Message{
		ID: h.ID, Name: h.Name, Queue: DefaultQueue, GeneratedID: generated,
		Envelope: Envelope{Header: header, Body: body}, State: State{NotBefore: h.NotBefore},
	}
	if n := m.Envelope.Size(); n > MaxMessage {
		return Message{}, &SizeError{"message of " + h.Name, n, MaxMessage}
	}
	if h.Options.Queue != nil {
		m.Queue = *h.Options.Queue
	}
	if h.Options.Priority != nil {
		m.Priority = *h.Options.Priority
	}
	if h.Options.Lease != nil {
		m.Lease = *h.Options.Lease
	}
	return m, nil
}
