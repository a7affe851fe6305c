package worker

import (
	"maps"
	"time"

	"github.com/stemd/stem"
)

// effective is what holds for one attempt once every source of options was asked.
type effective struct {
	maxRetries   int
	retry        stem.RetryPolicy
	on           map[stem.Class]ClassRule
	crashes      int // 0: any number
	soft, hard   time.Duration
	heartbeat    time.Duration
	acksLate     bool
	ignoreResult bool
	exclusive    bool // killed before its lease can lapse
}

// resolve asks, in this order: what the handler asked for with its last retry, the message, the configuration of the task, of
// the pool, the manifest, the defaults.
func resolve(o *stem.Override, msg stem.Options, p Policy, spec stem.TaskSpec) effective {
	task := p.Tasks[spec.Name]
	declared := spec.Options
	if o == nil {
		o = &stem.Override{}
	}
	retry := first(o.RetryPolicy, msg.RetryPolicy, task.Retry, p.Retry, declared.RetryPolicy)
	e := effective{
		maxRetries: deref(first(o.MaxRetries, retriesOf(o.RetryPolicy), retriesOf(msg.RetryPolicy), msg.MaxRetries, retriesOf(task.Retry), task.MaxRetries,
			retriesOf(p.Retry), p.MaxRetries, retriesOf(declared.RetryPolicy), declared.MaxRetries), max(spec.MaxRetries, stem.DefaultMaxRetries)),
		retry:        deref(retry, stem.DefaultRetryPolicy()),
		on:           rules(p.On, task.On),
		crashes:      deref(first(task.Crashes, p.Crashes), stem.MaxCrashes),
		soft:         deref(first(o.SoftLimit, msg.SoftLimit, positive(task.Soft), positive(p.Soft), declared.SoftLimit), 0),
		hard:         deref(first(o.HardLimit, msg.HardLimit, positive(task.Hard), positive(p.Hard), declared.HardLimit), 0),
		heartbeat:    deref(first(msg.HeartbeatTimeout, positive(task.Heartbeat), positive(p.Heartbeat), declared.HeartbeatTimeout), 0),
		acksLate:     deref(first(msg.AcksLate, p.AcksLate, declared.AcksLate), true),
		ignoreResult: deref(first(msg.IgnoreResult, declared.IgnoreResult), false),
		exclusive:    deref(task.Exclusive, spec.Exclusive),
	}
	return e
}

// rules are those of the pool with those of the task in their place.
func rules(pool, task map[stem.Class]ClassRule) map[stem.Class]ClassRule {
	if len(task) == 0 {
		return pool
	}
	all := maps.Clone(pool)
	if all == nil {
		return task
	}
	maps.Copy(all, task)
	return all
}

func retriesOf(p *stem.RetryPolicy) *int {
	if p == nil {
		return nil
	}
	return p.MaxRetries
}

func positive(d time.Duration) *time.Duration {
	if d <= 0 {
		return nil
	}
	return &d
}

func first[T any](values ...*T) *T {
	for _, v := range values {
		if v != nil {
			return v
		}
	}
	return nil
}

func deref[T any](p *T, fallback T) T {
	if p == nil {
		return fallback
	}
	return *p
}
