package stem

import (
	"encoding/json"
	"fmt"
	"time"
)

// Option sets one option of a task, in its definition or in one call. A later one wins over an earlier.
type Option func(*settings)

// settings is what a list of Options adds up to: a header that has no name yet, and what is no part of it.
type settings struct {
	Header
	delay        time.Duration
	eta          time.Time
	expiresIn    time.Duration
	noParent     bool
	publishRetry *RetryPolicy
	description  string
	tags         []string
	idempotent   bool
	exclusive    bool
	err          error
}

func settle(opts []Option) *settings {
	s := new(settings)
	for _, opt := range opts {
		opt(s)
	}
	return s
}

// Queue names the queue the task waits in.
func Queue(name string) Option { return func(s *settings) { s.Options.Queue = &name } }

// Priority of 0 (the default) to MaxPriority; strict inside a queue.
func Priority(p int) Option { return func(s *settings) { s.Options.Priority = &p } }

// MaxRetries allows n attempts after the first; 0 is none.
func MaxRetries(n int) Option { return func(s *settings) { s.Options.MaxRetries = &n } }

// RetryWith sets the pause between attempts and which errors deserve one.
func RetryWith(p RetryPolicy) Option { return func(s *settings) { s.Options.RetryPolicy = &p } }

// SoftLimit cancels the handler's context after d.
func SoftLimit(d time.Duration) Option { return func(s *settings) { s.Options.SoftLimit = &d } }

// HardLimit kills the handler's process after d.
func HardLimit(d time.Duration) Option { return func(s *settings) { s.Options.HardLimit = &d } }

// HeartbeatTimeout kills the handler's process when it gives no sign of life (Heartbeat, Progress) for d: an optional check that a
// long handler is not stuck. Nobody needs it to keep a task.
func HeartbeatTimeout(d time.Duration) Option {
	return func(s *settings) { s.Options.HeartbeatTimeout = &d }
}

// AcksLate(false) acknowledges before the run: never run twice, lost with its process. The default is true.
func AcksLate(late bool) Option { return func(s *settings) { s.Options.AcksLate = &late } }

// VisibilityTimeout is the length of this task's lease. Daemons renew leases, so it bounds how long a dead host keeps the task,
// not how long the task may run.
func VisibilityTimeout(d time.Duration) Option { return func(s *settings) { s.Options.Lease = &d } }

// IgnoreResult keeps the state and drops the result of a success.
func IgnoreResult() Option { return func(s *settings) { yes := true; s.Options.IgnoreResult = &yes } }

// TaskID chooses the id. A task of that id that is live, or ended within DefaultDedupe, makes the call a duplicate.
func TaskID(id string) Option { return func(s *settings) { s.ID = id } }

// Delay hides the task for d. ETA wins over it.
func Delay(d time.Duration) Option { return func(s *settings) { s.delay = d } }

// Countdown is another name of Delay.
func Countdown(d time.Duration) Option { return Delay(d) }

// ETA hides the task until t.
func ETA(t time.Time) Option { return func(s *settings) { s.eta = t } }

// Expires cancels the task when it could not start by t.
func Expires(t time.Time) Option { return func(s *settings) { s.ExpiresAt = t } }

// ExpiresIn cancels the task when it could not start within d of being enqueued.
func ExpiresIn(d time.Duration) Option { return func(s *settings) { s.expiresIn = d } }

// Shadow is shown in logs instead of the task's name.
func Shadow(name string) Option { return func(s *settings) { s.Shadow = name } }

// ReplyTo is a free-form address, passed through to the handler.
func ReplyTo(address string) Option { return func(s *settings) { s.ReplyTo = address } }

// HeaderValue adds a header, passed through to the handler.
func HeaderValue(key, value string) Option {
	return func(s *settings) {
		if s.Headers == nil {
			s.Headers = map[string]string{}
		}
		s.Headers[key] = value
	}
}

// Meta adds metadata, encoded as JSON, passed to the handler and kept with the result.
func Meta(key string, value any) Option {
	return func(s *settings) {
		b, err := json.Marshal(value)
		if err != nil {
			s.err = &OptionError{"meta", fmt.Sprintf("%q: %v", key, err)}
			return
		}
		if s.Meta == nil {
			s.Meta = map[string]json.RawMessage{}
		}
		s.Meta[key] = b
	}
}

// AddToParent(false) leaves lineage off a task that a handler enqueues.
func AddToParent(add bool) Option { return func(s *settings) { s.noParent = !add } }

// PublishRetry publishes again when the store does not answer; MaxRetries of the policy defaults to 3.
func PublishRetry(p RetryPolicy) Option { return func(s *settings) { s.publishRetry = &p } }

// Describe says in a line what a task does. For definitions.
func Describe(text string) Option { return func(s *settings) { s.description = text } }

// Tags label a task. For definitions.
func Tags(tags ...string) Option { return func(s *settings) { s.tags = tags } }

// Idempotent declares that running a task twice has the effect of running it once. For definitions.
func Idempotent() Option { return func(s *settings) { s.idempotent = true } }

// Exclusive declares that a task must never run twice at once, not even while the store is away: its attempt is killed before its
// lease can lapse, and run again. For definitions.
func Exclusive() Option { return func(s *settings) { s.exclusive = true } }
