package worker

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/stemd/stem"
)

// gate looks at a claimed task before it is dispatched; nil lets it pass. Gates change nothing but what they find out about the
// attempt itself (header, options in effect).
type gate func(a *attempt, m *moment) *verdict

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
	homes       *homes
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

// judge leads a claimed task through the gates.
func (a *attempt) judge(m *moment) *verdict {
	for _, check := range gates {
		if v := check(a, m); v != nil {
			return v
		}
	}
	return nil
}

// answeredEarly stops a task that was acknowledged before its run and comes back: it must not run twice, so nobody will ever
// know how its run ended.
func answeredEarly(a *attempt, _ *moment) *verdict {
	if !a.delivery.State.AckedEarly {
		return nil
	}
	return &verdict{kind: stem.Dead, dead: string(stem.ClassLostLease), err: &stem.TaskError{
		Class: stem.ClassLostLease, Type: "LeaseLost", Permanent: true,
		Message: "acknowledged before its run (acksLate=false), and the daemon that ran it was lost: it may or may not have run",
	}}
}

// poisonous stops a task that keeps taking its daemon down.
func poisonous(a *attempt, _ *moment) *verdict {
	n := a.delivery.State.Redeliveries
	if n <= stem.MaxRedeliveries {
		return nil
	}
	return &verdict{kind: stem.Dead, dead: stem.ReasonPoison, err: &stem.TaskError{
		Class: stem.ClassLostLease, Type: "Poison", Permanent: true,
		Message: fmt.Sprintf("its lease expired %d times: each time the daemon that ran it was lost", n),
	}}
}

// readable stops what is no task of this namespace.
func readable(a *attempt, m *moment) *verdict {
	d := &a.delivery
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
		a.header = h
		return nil
	}
	return &verdict{kind: stem.Dead, dead: stem.ReasonInvalid, err: &stem.TaskError{
		Class: stem.ClassError, Type: "InvalidMessage", Permanent: true, Message: "not a task that can be run: " + err.Error(),
	}}
}

// sealed is the place where signatures are verified and bodies opened. Envelopes are plain: the body is what the handler gets.
func sealed(*attempt, *moment) *verdict { return nil }

// known sends a task that is in the wrong queue to its home, and one that nobody here handles to the lane of its name.
func known(a *attempt, m *moment) *verdict {
	d, here := &a.delivery, ""
	if a.pool != nil {
		here = a.pool.Name
	}
	spec, runs, home := m.homes.find(here, d.Name)
	switch {
	case runs:
		a.effective = resolve(d.State.Override, a.header.Options, a.pool.Policy, spec)
		return nil
	case home == "":
		return &verdict{kind: stem.Park}
	}
	if asked := a.header.Options.Queue; asked != nil && m.homes.accepts(*asked, d.Name) {
		home = *asked
	}
	return &verdict{kind: stem.Move, queue: home}
}

// revoked stops a task that was cancelled.
func revoked(a *attempt, m *moment) *verdict {
	r := m.revocations.of(&a.delivery)
	if r == nil {
		return nil
	}
	return &verdict{kind: stem.Done, err: revokedError(r), meta: map[string]any{
		"revoked": true, "revokedReason": r.Reason, "revokedBy": r.Requester, "revokedAt": r.IssuedAt,
	}}
}

// expired stops a task that is delivered too late to be of use. Replaying a dead letter waives its expiry.
func expired(a *attempt, m *moment) *verdict {
	at := a.header.ExpiresAt
	if at.IsZero() || !m.now.After(at) || a.delivery.State.Replays > 0 {
		return nil
	}
	return &verdict{kind: stem.Done, err: &stem.TaskError{
		Class: stem.ClassExpired, Type: "TaskExpired", Permanent: true, Message: "Task expired before execution",
	}, meta: map[string]any{"stem.expired": true, "expiredAt": at}}
}

// settlement carries a verdict out.
func (v *verdict) settlement(d decision) stem.Settlement {
	switch v.kind {
	case stem.Dead:
		return d.dead(v.dead, v.err)
	case stem.Hold:
		return d.hold(v.until)
	case stem.Park, stem.Move:
		return d.send(v.kind, v.queue)
	}
	s := d.cancelled(v.err)
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
