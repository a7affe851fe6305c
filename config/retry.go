package config

import (
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/stemd/stem"
	"github.com/stemd/stem/daemon/worker"
)

// classes that a retry rule may name: those that spend an attempt.
var classes = []string{
	string(stem.ClassError), string(stem.ClassPanic), string(stem.ClassTimeout), string(stem.ClassCrash),
	string(stem.ClassExit), string(stem.ClassOOM),
}

// retry reads the attributes of a retry block. Any of the delay settings makes a policy of its own.
func (b *block) retry(retries **int, policy **stem.RetryPolicy) {
	b.number("max", 0, func(n int) { *retries = &n })
	p := stem.DefaultRetryPolicy()
	if *policy != nil {
		p = **policy
	}
	b.boolean("backoff", func(v bool) { p.Backoff = v })
	b.duration("delay", &p.DefaultDelay)
	b.duration("max_delay", &p.BackoffMax)
	b.boolean("jitter", func(v bool) { p.NoJitter = !v })
	b.texts("only_for", &p.AutoRetryFor)
	b.texts("never_for", &p.DontAutoRetryFor)
	for _, name := range []string{"backoff", "delay", "max_delay", "jitter", "only_for", "never_for"} {
		if b.body.Attributes[name] != nil {
			*policy = &p
		}
	}
}

// classRules reads what a retry block says of classes of failure: how many crashes make poison, and on "class" { … }.
func (b *block) classRules(crashes **int, rules *map[stem.Class]worker.ClassRule) {
	b.number("crashes", 0, func(n int) { *crashes = &n })
	b.labelled("on", func(class string, at hcl.Range, b *block) {
		var rule worker.ClassRule
		b.number("max", 0, func(n int) { rule.Max = &n })
		if b.body.Attributes["delay"] != nil {
			var d time.Duration
			b.duration("delay", &d)
			rule.Delay = &d
		}
		if !slices.Contains(classes, class) {
			b.l.complain(at, "unknown class %q%s Known are %s", class, classHint(class), strings.Join(classes, ", "))
			return
		}
		if *rules == nil {
			*rules = map[stem.Class]worker.ClassRule{}
		}
		(*rules)[stem.Class(class)] = rule
	})
}

// classHint ends a sentence about an unknown class: what was meant, or where it stands when no rule can be about it.
func classHint(class string) string {
	switch stem.Class(class) {
	case stem.ClassCollateral, stem.ClassDrain, stem.ClassSwap, stem.ClassLostLease:
		return ": such attempts do not count, so no rule is about them."
	case stem.ClassCancelled, stem.ClassExpired:
		return ": such tasks are not retried, so no rule is about them."
	}
	if h := hint(class, classes); h != "" {
		return h
	}
	return "."
}
