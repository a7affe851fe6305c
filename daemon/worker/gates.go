package worker

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/stemd/stem"
)

// gate looks at a claimed task before it is dispatched; nil lets it pass. Gates change nothing but what they find out about the
// task itself (header, rules).
type gate func(t *task, m *moment) *verdict

// gates in the order a task meets them. What is cheap and what makes the rest meaningless comes first; nothing is opened that
// was not verified, nobody is asked about a task that will not run.
var gates = []gate{
	answeredEarly,
	poisonous,
	readable,
	sealed,
	known,
	revoked,
	expired,
}

// moment is what gates look at beside the task.
type moment struct {
	now         time.Time
	namespace   string
	directory   *directory
	revocations *revocations
}

// verdict of a gate that does not let a task pass.
type verdict struct {
	kind  stem.Kind // Done (dropped as cancelled), Dead, Hold, Park or Move
	dead  string    // reason
	queue string    // of a move
	until time.Time // of a hold
	err   *stem.TaskError
	meta  map[string]any // added to the status
}

// judge leads a task through the gates.
func (t *task) judge(m *moment) *verdict {
	for _, check := range gates {
		if v := check(t, m); v != nil {
			return v
		}
	}
	return nil
}

// answeredEarly stops a task that was acknowledged before its run and comes back: it must not run twice, so nobody will ever
// know how its run ended.
func answeredEarly(t *task, _ *moment) *verdict {
	if !t.delivery.State.AckedEarly {
		return nil
	}
	t.early = true
	return &verdict{kind: stem.Dead, dead: string(stem.ClassLostLease), err: &stem.TaskError{
		Class: stem.ClassLostLease, Type: "LeaseLost", Permanent: true,
		Message: "acknowledged before its run (acksLate=false), and the daemon that ran it was lost: it may or may not have run",
	}}
}

// poisonous stops a task that keeps taking its daemon down.
func poisonous(t *task, _ *moment) *verdict {
	n := t.delivery.State.Redeliveries
	if n <= stem.MaxRedeliveries {
		return nil
	}
	return &verdict{kind: stem.Dead, dead: stem.ReasonPoison, err: &stem.TaskError{
		Class: stem.ClassLostLease, Type: "Poison", Permanent: true,
		Message: fmt.Sprintf("its lease expired %d times: each time the daemon that ran it was lost", n),
	}}
}

// readable stops what is no task of this namespace.
func readable(t *task, m *moment) *verdict {
	d := &t.delivery
	h, err := stem.DecodeHeader(d.Envelope.Header)
	switch {
	case err != nil:
	case h.ID != d.ID:
		err = fmt.Errorf("its header is of task %q", h.ID)
	case h.Name != d.Name:
		err = fmt.Errorf("its header is of a %q, the message says %q", h.Name, d.Name)
	case h.Namespace != m.namespace:
		err = fmt.Errorf("its header is of namespace %q, this is %q", h.Namespace, m.namespace)
	default:
		t.header = h
		return nil
	}
	return &verdict{kind: stem.Dead, dead: stem.ReasonInvalid, err: &stem.TaskError{
		Class: stem.ClassError, Type: "InvalidMessage", Permanent: true, Message: "not a task that can be run: " + err.Error(),
	}}
}

// sealed is the place where signatures are verified and bodies opened. Envelopes are plain: the body is what the handler gets.
func sealed(*task, *moment) *verdict { return nil }

// known sends a task that is in the wrong queue to its home, and one that nobody here handles to the lane of its name.
func known(t *task, m *moment) *verdict {
	d := &t.delivery
	if t.pool != nil {
		if t.rules = m.directory.in(t.pool, d.Name); t.rules != nil {
			return nil
		}
	}
	if home := m.directory.elsewhere(d.Name, t.header.Options.Queue); home != "" && home != d.Queue {
		return &verdict{kind: stem.Move, queue: home}
	}
	return &verdict{kind: stem.Park}
}

// revoked stops a task that was cancelled.
func revoked(t *task, m *moment) *verdict {
	r := m.revocations.of(t)
	if r == nil {
		return nil
	}
	return &verdict{kind: stem.Done, err: revokedError(r), meta: map[string]any{
		"revoked": true, "revokedReason": r.Reason, "revokedBy": r.Requester, "revokedAt": r.IssuedAt,
	}}
}

// expired stops a task that is delivered too late to be of use. Replaying a dead letter waives its expiry.
func expired(t *task, m *moment) *verdict {
	at := t.header.ExpiresAt
	if at.IsZero() || !m.now.After(at) || t.delivery.State.Replays > 0 {
		return nil
	}
	return &verdict{kind: stem.Done, err: &stem.TaskError{
		Class: stem.ClassExpired, Type: "TaskExpired", Permanent: true, Message: "Task expired before execution",
	}, meta: map[string]any{"stem.expired": true, "expiredAt": at}}
}

// carryOut makes the settlement of a verdict.
func (v *verdict) carryOut(t *task, c *circumstances) stem.Settlement {
	switch v.kind {
	case stem.Dead:
		return t.dead(c, v.dead, v.err, nil)
	case stem.Hold:
		return t.hold(c, v.until)
	case stem.Park, stem.Move:
		s := stem.Settlement{Receipt: t.delivery.Receipt, Kind: v.kind, Queue: v.queue, Result: t.waiting(c, time.Time{})}
		state := t.delivery.State
		if state.Home == "" {
			state.Home = t.delivery.Queue
		}
		state.Parked = time.Time{}
		if v.kind == stem.Park {
			state.Parked = c.now
		}
		s.State = &state
		return s
	}
	s := t.cancelled(c, v.err, nil)
	s.Result.Status.Meta = withMeta(s.Result.Status.Meta, v.meta)
	return s
}

// withMeta returns meta with more in it. meta is the header's, so it is copied. Values that have no JSON are left out.
func withMeta(meta map[string]json.RawMessage, more map[string]any) map[string]json.RawMessage {
	merged := make(map[string]json.RawMessage, len(meta)+len(more))
	for k, v := range meta {
		merged[k] = v
	}
	for k, v := range more {
		if b, err := json.Marshal(v); err == nil {
			merged[k] = b
		}
	}
	return merged
}
