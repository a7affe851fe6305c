package worker

import (
	"cmp"
	"fmt"
	"maps"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

// decision is everything a settlement after a run depends on.
type decision struct {
	delivery  stem.Delivery
	header    *stem.Header // nil only where no attempt was made
	effective effective
	outcome   plugin.Outcome // zero: no attempt was made
	worker    string
	now       time.Time
	ttl       time.Duration
	maxResult int
	oneFile   bool             // the store derives queued and running: they are not written
	stopping  bool             // stopped for a shutdown: only a success counts
	early     bool             // acknowledged before it ran: it can not run again
	revoked   *stem.Revocation // the task is not to run again
	delay     func(p stem.RetryPolicy, attempt int) time.Duration
}

// decide says what an outcome means. It is pure: the same decision gives the same settlement, as far as its delay does.
//
// In this order: a success is done · a revoked task is cancelled · what was acknowledged early and did not succeed is dead · what
// did not run, or was stopped by us, goes back and spends nothing · a cancelled attempt is cancelled · a snooze hides it · a
// permanent error is dead · a task that crashed too often is dead as poison · what has retries left, also by the rule of its class,
// is retried · the rest is dead.
func decide(d decision) stem.Settlement {
	o := &d.outcome
	if o.Kind == plugin.Success {
		return d.success()
	}
	failure := o.Error
	if failure == nil {
		failure = &stem.TaskError{Class: stem.ClassError, Type: "Unknown", Message: "the attempt ended without saying why"}
	}
	unblamed := o.Kind == plugin.NotRun || d.stopping || innocent(failure.Class)
	switch {
	case d.revoked != nil:
		return d.cancelled(revokedError(d.revoked))
	case d.early && unblamed:
		return d.dead(string(failure.Class), failure)
	case unblamed:
		return d.release()
	case failure.Class == stem.ClassCancelled:
		return d.cancelled(failure)
	case o.Snooze > 0 && !d.early:
		return d.hold(d.now.Add(o.Snooze))
	case failure.Permanent:
		return d.dead(stem.ReasonPermanent, failure)
	case d.early:
		return d.dead(stem.ReasonRetriesExhausted, failure)
	}
	return d.failed(failure)
}

// innocent says whether an attempt of this class ended for a reason that is not its own.
func innocent(c stem.Class) bool {
	return c == stem.ClassCollateral || c == stem.ClassDrain || c == stem.ClassSwap || c == stem.ClassLostLease
}

// dies says whether an attempt of this class took its process with it.
func dies(c stem.Class) bool {
	return c == stem.ClassCrash || c == stem.ClassExit || c == stem.ClassOOM
}

// success settles a result, if it is not too large to be kept.
func (d *decision) success() stem.Settlement {
	s := d.ended(stem.Succeeded)
	if !d.effective.ignoreResult {
		if size := len(d.outcome.Result); size > d.maxResult {
			return d.dead(stem.ReasonPermanent, &stem.TaskError{
				Class: stem.ClassError, Type: "ResultTooLarge", Permanent: true,
				Message: (&stem.SizeError{What: "result of " + d.delivery.Name, Size: size, Limit: d.maxResult}).Error(),
			})
		}
		s.Result = d.outcome.Result
	}
	s.Encoder = d.outcome.Encoder
	return stem.Settlement{Receipt: d.delivery.Receipt, Kind: stem.Done, Result: d.keep(s), Tally: tally(&s)}
}

// failed settles a failure of the handler's own: retried while the rules allow it.
func (d *decision) failed(failure *stem.TaskError) stem.Settlement {
	o, state := &d.outcome, d.spent(failure)
	policy, maxRetries := d.effective.retry, d.effective.maxRetries
	if o.Retry != nil && o.Retry.Override != nil {
		asked := o.Retry.Override
		policy = deref(asked.RetryPolicy, policy)
		maxRetries = deref(first(asked.MaxRetries, retriesOf(asked.RetryPolicy)), maxRetries)
	}
	rule := d.effective.on[failure.Class]
	switch {
	case o.Retry == nil && !policy.Retries(failure.Type):
		return d.dead(stem.ReasonPermanent, failure)
	case dies(failure.Class) && d.effective.crashes > 0 && state.Crashes >= d.effective.crashes:
		return d.dead(stem.ReasonPoison, failure)
	case o.Retry != nil && state.Attempt >= maxRetries:
		exhausted := *failure
		exhausted.Type = "RetryExhausted"
		return d.dead(stem.ReasonRetriesExhausted, &exhausted)
	case state.Attempt >= maxRetries, rule.Max != nil && state.Failures[failure.Class] > *rule.Max:
		return d.dead(stem.ReasonRetriesExhausted, failure)
	}
	var wait time.Duration
	switch {
	case o.Retry != nil && o.Retry.After != nil:
		wait = max(*o.Retry.After, 0)
	case rule.Delay != nil:
		wait = *rule.Delay
	default:
		wait = d.delay(policy, state.Attempt)
	}
	due := d.now.Add(wait)
	state.Attempt++
	state.Override = inherited(state.Override, o.Retry)
	s := d.status(stem.Retried)
	s.Attempt, s.Error, s.DueAt = state.Attempt, failure, due
	s.StartedAt, s.FinishedAt = o.Started, time.Time{}
	return stem.Settlement{Receipt: d.delivery.Receipt, Kind: stem.Retry, At: due, State: &state, Result: d.keep(s)}
}

// inherited is what the next attempt gets of what handlers asked for: the newest limits and policy. A number of retries is
// good for one failure: an earlier request's is spent by now.
func inherited(left *stem.Override, now *plugin.RetryRequest) *stem.Override {
	var next, asked stem.Override
	if left != nil {
		next = *left
	}
	if now != nil && now.Override != nil {
		asked = *now.Override
	}
	next = stem.Override{
		MaxRetries:  asked.MaxRetries,
		RetryPolicy: cmp.Or(asked.RetryPolicy, next.RetryPolicy),
		SoftLimit:   cmp.Or(asked.SoftLimit, next.SoftLimit),
		HardLimit:   cmp.Or(asked.HardLimit, next.HardLimit),
	}
	if next == (stem.Override{}) {
		return nil
	}
	return &next
}

// spent is the delivery state after an attempt that failed, the number of the attempt apart.
func (d *decision) spent(failure *stem.TaskError) stem.State {
	state := d.delivery.State
	state.FirstStarted = d.firstStart()
	if d.outcome.Kind != plugin.Failure || innocent(failure.Class) {
		return state // no attempt was made, or it does not count
	}
	state.Failures = maps.Clone(state.Failures)
	if state.Failures == nil {
		state.Failures = make(map[stem.Class]int, 1)
	}
	state.Failures[failure.Class]++
	if dies(failure.Class) {
		state.Crashes++
	}
	return state
}

// dead makes a dead letter.
func (d *decision) dead(reason string, failure *stem.TaskError) stem.Settlement {
	state := d.spent(failure)
	s := d.ended(stem.Failed)
	s.Error = failure
	return stem.Settlement{Receipt: d.delivery.Receipt, Kind: stem.Dead, Reason: reason, State: &state, Result: d.keep(s), Tally: tally(&s)}
}

func (d *decision) cancelled(why *stem.TaskError) stem.Settlement {
	s := d.ended(stem.Cancelled)
	s.Error = why
	return stem.Settlement{Receipt: d.delivery.Receipt, Kind: stem.Done, Result: d.keep(s), Tally: tally(&s)}
}

// tally counts the end of a task in its group, if it is in one.
func tally(s *stem.Status) *stem.Tally {
	if s.GroupID == "" {
		return nil
	}
	return &stem.Tally{Group: s.GroupID, State: s.State}
}

func (d *decision) release() stem.Settlement {
	return stem.Settlement{Receipt: d.delivery.Receipt, Kind: stem.Release, Result: d.waiting(time.Time{})}
}

func (d *decision) hold(until time.Time) stem.Settlement {
	return stem.Settlement{Receipt: d.delivery.Receipt, Kind: stem.Hold, At: until, Result: d.waiting(until)}
}

// send makes a task wait elsewhere: in the parked lane of its name, or in another queue.
func (d *decision) send(kind stem.Kind, queue string) stem.Settlement {
	state := d.delivery.State
	if state.Home == "" {
		state.Home = d.delivery.Queue
	}
	state.Parked = time.Time{}
	if kind == stem.Park {
		state.Parked = d.now
	}
	return stem.Settlement{Receipt: d.delivery.Receipt, Kind: kind, Queue: queue, State: &state, Result: d.waiting(time.Time{})}
}

// waiting is the status of a task that goes back to a queue; nil where the store derives it.
func (d *decision) waiting(due time.Time) *stem.StatusWrite {
	if d.oneFile {
		return nil
	}
	s := d.status(stem.Queued)
	if d.delivery.State.Attempt > 0 {
		s.State = stem.Retried
	}
	s.DueAt = due
	return d.keep(s)
}

// status begins a status of the task under its claim.
func (d *decision) status(state stem.TaskState) stem.Status {
	m := &d.delivery.Message
	s := stem.Status{
		ID: m.ID, Name: m.Name, Queue: m.Queue, State: state, Attempt: m.State.Attempt, Priority: m.Priority, Worker: d.worker,
		EnqueuedAt: m.State.Created, StartedAt: m.State.FirstStarted, Epoch: d.delivery.Receipt.Epoch,
	}
	if h := d.header; h != nil {
		s.Meta, s.ParentID, s.RootID, s.GroupID = h.Meta, h.ParentID, h.RootID, h.Canvas.GroupID
		if !h.EnqueuedAt.IsZero() {
			s.EnqueuedAt = h.EnqueuedAt
		}
	}
	return s
}

// ended begins the status of a task that will not run again.
func (d *decision) ended(state stem.TaskState) stem.Status {
	s := d.status(state)
	s.FinishedAt = d.now
	if !d.outcome.Started.IsZero() {
		s.StartedAt = d.outcome.Started
	}
	if !d.outcome.Finished.IsZero() {
		s.FinishedAt = d.outcome.Finished
	}
	return s
}

func (d *decision) firstStart() time.Time {
	if at := d.delivery.State.FirstStarted; !at.IsZero() {
		return at
	}
	return d.outcome.Started
}

func (d *decision) keep(s stem.Status) *stem.StatusWrite {
	return &stem.StatusWrite{Status: s, TTL: d.ttl}
}

// revokedError is what the status of a cancelled task says.
func revokedError(r *stem.Revocation) *stem.TaskError {
	message := "cancelled"
	if r.Requester != "" {
		message = fmt.Sprintf("%s by %s", message, r.Requester)
	}
	if r.Reason != "" {
		message = fmt.Sprintf("%s: %s", message, r.Reason)
	}
	return &stem.TaskError{Class: stem.ClassCancelled, Type: "TaskRevoked", Message: message, Permanent: true}
}
