package worker

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
)

// circumstances are what a decision depends on beside the task and its outcome.
type circumstances struct {
	now       time.Time
	worker    string
	ttl       time.Duration
	maxResult int
	oneFile   bool             // the store derives queued and running: they are not written
	draining  bool             // the attempt was stopped for a shutdown: only a success counts
	revoked   *stem.Revocation // the task is not to run again
	then      []stem.Message   // follow-ups, built
	thenErr   error            // why they could not be built
	delay     func(p stem.RetryPolicy, attempt int) time.Duration
}

// decide says what an outcome means. It is pure: the same arguments give the same settlement.
//
// In this order: an attempt that did not run or was stopped by us goes back and spends nothing · a success is done · a revoked
// task is cancelled · a snooze hides it · a permanent error, a task acknowledged early and a class that may not be retried end
// as dead letters · what has retries left is retried · the rest is dead.
func decide(t *task, o *plugin.Outcome, c *circumstances) stem.Settlement {
	if o.Kind == plugin.Success {
		return t.success(o, c)
	}
	failure := o.Error
	if failure == nil {
		failure = &stem.TaskError{Class: stem.ClassError, Type: "Unknown", Message: "the attempt failed without saying why"}
	}
	switch {
	case c.revoked != nil:
		return t.cancelled(c, revokedError(c.revoked), o)
	case t.early && (o.Kind == plugin.NotRun || c.draining):
		return t.dead(c, string(failure.Class), failure, o)
	case o.Kind == plugin.NotRun || c.draining || innocent(failure.Class):
		return t.release(c)
	case failure.Class == stem.ClassCancelled:
		return t.cancelled(c, failure, o)
	case o.Snooze > 0 && !t.early:
		return t.hold(c, c.now.Add(o.Snooze))
	case failure.Permanent:
		return t.dead(c, stem.ReasonPermanent, failure, o)
	case t.early:
		return t.dead(c, stem.ReasonRetriesExhausted, failure, o)
	}
	return t.failed(o, failure, c)
}

// innocent says whether an attempt of this class ended for a reason that is not its own.
func innocent(c stem.Class) bool {
	return c == stem.ClassCollateral || c == stem.ClassDrain || c == stem.ClassSwap || c == stem.ClassLostLease
}

// success settles a result, if there is room for it.
func (t *task) success(o *plugin.Outcome, c *circumstances) stem.Settlement {
	switch {
	case c.thenErr != nil:
		return t.dead(c, stem.ReasonPermanent, permanent("BadFollowUp", fmt.Errorf("the task ran, but a task it enqueues on success can not be published: %w", c.thenErr)), o)
	case len(o.Result) > c.maxResult && !t.ignoresResult():
		tooLarge := &stem.SizeError{What: "result of " + t.delivery.Name, Size: len(o.Result), Limit: c.maxResult}
		return t.dead(c, stem.ReasonPermanent, permanent("ResultTooLarge", tooLarge), o)
	}
	s := t.ended(stem.Succeeded, o, c)
	s.Encoder = o.Encoder
	if !t.ignoresResult() {
		s.Result = o.Result
	}
	return stem.Settlement{Receipt: t.delivery.Receipt, Kind: stem.Done, Result: c.keep(s), Then: c.then}
}

func permanent(kind string, err error) *stem.TaskError {
	return &stem.TaskError{Class: stem.ClassError, Type: kind, Message: err.Error(), Permanent: true}
}

// failed settles a failure of the handler's own: retried while the rules allow it.
func (t *task) failed(o *plugin.Outcome, failure *stem.TaskError, c *circumstances) stem.Settlement {
	state := t.delivery.State
	asked := merge(state.Override, o.Retry)
	policy, maxRetries := t.rules.retries(t.header.Options, asked)
	died := dies(failure.Class)
	if died {
		state.Crashes++
	}
	rule := t.rules.on[failure.Class].Max
	switch {
	case o.Retry == nil && !policy.Retries(failure.Type):
		return t.dead(c, stem.ReasonPermanent, failure, o)
	case state.Attempt >= maxRetries && o.Retry != nil:
		exhausted := *failure
		exhausted.Type = "RetryExhausted"
		return t.dead(c, stem.ReasonRetriesExhausted, &exhausted, o)
	case state.Attempt >= maxRetries, rule != nil && died && state.Crashes > *rule, rule != nil && !died && state.Attempt >= *rule:
		return t.dead(c, stem.ReasonRetriesExhausted, failure, o)
	}
	wait := time.Duration(-1)
	if o.Retry != nil && o.Retry.After != nil {
		wait = *o.Retry.After
	}
	if wait < 0 {
		wait = c.delay(policy, state.Attempt)
	}
	due := c.now.Add(wait)
	state.Attempt++
	state.FirstStarted = firstStart(state, o)
	state.Override = remaining(state.Override, o.Retry)
	s := t.status(stem.Retried, c.worker)
	s.Attempt, s.Error, s.StartedAt, s.DueAt = state.Attempt, failure, o.Started, due
	return stem.Settlement{Receipt: t.delivery.Receipt, Kind: stem.Retry, At: due, State: &state, Result: c.keep(s)}
}

// dies says whether an attempt of this class took its process with it.
func dies(c stem.Class) bool { return c == stem.ClassCrash || c == stem.ClassExit || c == stem.ClassOOM }

// merge is what applies to this failure: the present request over what an earlier one left behind.
func merge(left *stem.Override, now *plugin.RetryRequest) *stem.Override {
	if now == nil || now.Override == nil {
		return left
	}
	if left == nil {
		return now.Override
	}
	o := now.Override
	return &stem.Override{
		MaxRetries:  cmp.Or(o.MaxRetries, left.MaxRetries),
		RetryPolicy: cmp.Or(o.RetryPolicy, left.RetryPolicy),
		SoftLimit:   cmp.Or(o.SoftLimit, left.SoftLimit),
		HardLimit:   cmp.Or(o.HardLimit, left.HardLimit),
	}
}

// remaining is what the next attempt inherits. A number of retries is good for the next failure only: it lasts when this
// request brought it, and is gone when an earlier one did.
func remaining(left *stem.Override, now *plugin.RetryRequest) *stem.Override {
	m := merge(left, now)
	if m == nil {
		return nil
	}
	next := *m
	next.MaxRetries = nil
	if now != nil && now.Override != nil {
		next.MaxRetries = now.Override.MaxRetries
	}
	if next == (stem.Override{}) {
		return nil
	}
	return &next
}

func firstStart(s stem.State, o *plugin.Outcome) time.Time {
	if s.FirstStarted.IsZero() && o != nil {
		return o.Started
	}
	return s.FirstStarted
}

// ended begins the status of a task that will not run again; o is nil when there was no attempt.
func (t *task) ended(state stem.TaskState, o *plugin.Outcome, c *circumstances) stem.Status {
	s := t.status(state, c.worker)
	s.FinishedAt = c.now
	if o != nil {
		if !o.Started.IsZero() {
			s.StartedAt = o.Started
		}
		if !o.Finished.IsZero() {
			s.FinishedAt = o.Finished
		}
	}
	return s
}

func (t *task) dead(c *circumstances, reason string, failure *stem.TaskError, o *plugin.Outcome) stem.Settlement {
	state := t.delivery.State
	state.FirstStarted = firstStart(state, o)
	if dies(failure.Class) {
		state.Crashes++
	}
	s := t.ended(stem.Failed, o, c)
	s.Error = failure
	return stem.Settlement{Receipt: t.delivery.Receipt, Kind: stem.Dead, Reason: reason, State: &state, Result: c.keep(s)}
}

func (t *task) cancelled(c *circumstances, why *stem.TaskError, o *plugin.Outcome) stem.Settlement {
	s := t.ended(stem.Cancelled, o, c)
	s.Error = why
	return stem.Settlement{Receipt: t.delivery.Receipt, Kind: stem.Done, Result: c.keep(s)}
}

func (t *task) release(c *circumstances) stem.Settlement {
	return stem.Settlement{Receipt: t.delivery.Receipt, Kind: stem.Release, Result: t.waiting(c, time.Time{})}
}

func (t *task) hold(c *circumstances, until time.Time) stem.Settlement {
	return stem.Settlement{Receipt: t.delivery.Receipt, Kind: stem.Hold, At: until, Result: t.waiting(c, until)}
}

// waiting is the status of a task that goes back to its queue; nil where the store derives it.
func (t *task) waiting(c *circumstances, due time.Time) *stem.StatusWrite {
	if c.oneFile {
		return nil
	}
	s := t.status(stem.Queued, "")
	if t.delivery.State.Attempt > 0 {
		s.State = stem.Retried
	}
	s.DueAt = due
	return c.keep(s)
}

func (c *circumstances) keep(s stem.Status) *stem.StatusWrite {
	return &stem.StatusWrite{Status: s, TTL: c.ttl}
}

// revokedError is what the status of a cancelled task says.
func revokedError(r *stem.Revocation) *stem.TaskError {
	message := "cancelled"
	if r.Requester != "" {
		message += " by " + r.Requester
	}
	if r.Reason != "" {
		message += ": " + r.Reason
	}
	return &stem.TaskError{Class: stem.ClassCancelled, Type: "TaskRevoked", Message: message, Permanent: true}
}

// errClosed answers a handler that speaks for an attempt that has ended.
var errClosed = errors.New("this attempt has ended: its claim is closed")
