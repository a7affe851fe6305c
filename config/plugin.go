package config

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/stemd/stem"
	"github.com/stemd/stem/daemon/worker"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// plugin reads a plugin block: one pool, and one more for each pool block inside.
func (l *loader) plugin(label string, at hcl.Range, b *block) {
	p := Pool{where: positionOf(at)}
	p.Host.Name, p.Host.Plugin = label, label
	if a := b.texts("command", &p.Host.Command); a != nil && (len(p.Host.Command) == 0 || p.Host.Command[0] == "") {
		b.wrong(a, "is empty: want the program and its arguments")
	} else if b.body.Attributes["command"] == nil {
		l.complain(at, "plugin %q needs a command: command = [\"/path/to/program\"]", label)
	}
	b.text("sha256", &p.Host.SHA256)
	b.texts("env", &p.Host.Env)
	b.pluginConfig(&p)
	b.pool(&p)
	l.config.Pools = append(l.config.Pools, p)
	b.labelled("pool", func(name string, at hcl.Range, ib *block) {
		inner := Pool{Host: p.Host, Policy: clonePolicy(p.Policy), where: positionOf(at)}
		inner.Host.Name = label + "/" + name
		ib.pool(&inner)
		if len(inner.Queues) == 0 {
			l.complain(at, "pool %q of plugin %q needs queues of its own: queues = { name = 1 }", name, label)
		}
		l.config.Pools = append(l.config.Pools, inner)
	})
}

// pool reads what a plugin block and a pool block share.
func (b *block) pool(p *Pool) {
	b.queues(p)
	b.number("per_process", 1, func(n int) { p.Host.PerProcess = n })
	b.number("send_ahead", 0, func(n int) {
		if p.Host.SendAhead = n; n == 0 {
			p.Host.SendAhead = -1
		}
	})
	b.block("processes", func(b *block) {
		b.processes(&p.Host.Processes)
	})
	b.block("limits", func(b *block) { b.limits(&p.Host.Limits) })
	b.block("recycle", func(b *block) { b.recycle(&p.Host.Recycle, p.Host.Limits.Memory) })
	b.block("timeout", func(b *block) {
		b.duration("soft", &p.Policy.Soft)
		b.duration("hard", &p.Policy.Hard)
		b.duration("heartbeat", &p.Policy.Heartbeat)
		b.duration("grace", &p.Host.Grace)
		if p.Policy.Hard > 0 && p.Policy.Soft > p.Policy.Hard {
			b.l.complain(b.body.Attributes["soft"].NameRange, "%s: soft %s is over hard %s", b.title, p.Policy.Soft, p.Policy.Hard)
		}
	})
	b.block("restart", func(b *block) {
		b.duration("delay", &p.Host.Restart.Delay)
		b.duration("max_delay", &p.Host.Restart.MaxDelay)
		if d, most := p.Host.Restart.Delay, p.Host.Restart.MaxDelay; most > 0 && d > most {
			b.l.complain(b.body.Attributes["max_delay"].NameRange, "%s: delay %s is more than max_delay %s", b.title, d, most)
		}
		b.number("attempts", 1, func(n int) { p.Host.Restart.Attempts = n })
	})
	b.block("retry", func(b *block) {
		b.retry(&p.Policy.MaxRetries, &p.Policy.Retry)
		b.classRules(&p.Policy.Crashes, &p.Policy.On)
	})
	b.boolean("acks_late", func(v bool) { p.Policy.AcksLate = &v })
	b.labelled("task", func(name string, _ hcl.Range, b *block) {
		b.reserved = []string{"rate_limit"}
		t := p.Policy.Tasks[name]
		b.duration("soft_limit", &t.Soft)
		b.duration("hard_limit", &t.Hard)
		b.name("queue", &t.Queue)
		b.boolean("exclusive", func(v bool) { t.Exclusive = &v })
		b.duration("heartbeat_timeout", &t.Heartbeat)
		b.block("retry", func(b *block) {
			b.retry(&t.MaxRetries, &t.Retry)
			b.classRules(&t.Crashes, &t.On)
		})
		if p.Policy.Tasks == nil {
			p.Policy.Tasks = map[string]worker.TaskPolicy{}
		}
		p.Policy.Tasks[name] = t
	})
}

// queues reads { name = weight }.
func (b *block) queues(p *Pool) {
	a, v := b.attr("queues")
	if a == nil {
		return
	}
	p.Queues, p.queues = map[string]int{}, map[string]position{}
	if !v.Type().IsObjectType() && !v.Type().IsMapType() || v.LengthInt() == 0 {
		b.wrong(a, "want queues with their weights, { name = 1 }")
		return
	}
	for name, weight := range v.AsValueMap() {
		n, ok := whole(weight)
		if err := stem.CheckName("queue", name); err != nil {
			b.wrong(a, "%v", err)
		} else if !ok || n < 1 || n > 1000 {
			b.wrong(a, "weight of queue %q: want a whole number from 1 to 1000", name)
		}
		p.Queues[name], p.queues[name] = n, p.where
	}
}

// pluginConfig keeps the plugin's own config block as JSON; its schema is the plugin's.
func (b *block) pluginConfig(p *Pool) {
	b.known = append(b.known, "config")
	for _, inner := range b.body.Blocks {
		if inner.Type != "config" {
			continue
		}
		if p.Host.Config != nil {
			b.l.complain(inner.DefRange(), "config is defined twice in %s", b.title)
			continue
		}
		doc, err := json.Marshal(b.object(inner.Body, b.shown.once("config")))
		if err != nil {
			b.l.complain(inner.DefRange(), "config of %s: %v", b.title, err)
			continue
		}
		p.Host.Config = doc
	}
}

// object is a free block as a JSON object: attributes and, by type, nested blocks.
func (b *block) object(body *hclsyntax.Body, s *shown) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	free := &block{l: b.l, body: body, title: "config", shown: s, eval: b.eval}
	for _, name := range slices.Sorted(mapKeys(body.Attributes)) {
		a, v := free.attr(name)
		if a == nil {
			continue
		}
		doc, err := ctyjson.Marshal(v, valueType(v))
		if err != nil {
			b.l.complain(a.Expr.Range(), "%s in config: %v", name, err)
			continue
		}
		out[name] = doc
	}
	for _, inner := range body.Blocks {
		doc, err := json.Marshal(b.object(inner.Body, s.once(inner.Type)))
		if err != nil {
			b.l.complain(inner.DefRange(), "%v", err)
		}
		out[inner.Type] = doc
	}
	return out
}

func valueType(v cty.Value) cty.Type {
	if v.IsNull() {
		return cty.DynamicPseudoType
	}
	return v.Type()
}

func clonePolicy(p worker.Policy) worker.Policy {
	p.On, p.Tasks = maps.Clone(p.On), maps.Clone(p.Tasks)
	return p
}
