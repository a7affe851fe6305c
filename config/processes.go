package config

import (
	"strconv"

	"github.com/stemd/stem/plugin/host"
	"github.com/zclconf/go-cty/cty"
)

// processes reads the size of a pool. 0 as min means none, which the host calls -1.
func (b *block) processes(p *host.Processes) {
	b.number("min", 0, func(n int) {
		if p.Min = n; n == 0 {
			p.Min = -1
		}
	})
	b.number("max", 1, func(n int) { p.Max = n })
	b.number("spare", 0, func(n int) { p.Spare = n })
	b.duration("idle_ttl", &p.IdleTTL)
	complain := func(name, format string, args ...any) {
		if a := b.body.Attributes[name]; a != nil {
			b.l.complain(a.NameRange, "%s: "+format, append([]any{b.title}, args...)...)
		}
	}
	if p.Max > 0 && p.Min > p.Max {
		at := "min"
		if b.body.Attributes[at] == nil { // inherited
			at = "max"
		}
		complain(at, "min %d is more than max %d", p.Min, p.Max)
	}
	if p.Max > 0 && p.Spare > p.Max {
		at := "spare"
		if b.body.Attributes[at] == nil {
			at = "max"
		}
		complain(at, "spare %d is more than max %d", p.Spare, p.Max)
	}
	if p.IdleTTL > 0 && (p.Min == 0 || p.Min == p.Max) {
		complain("idle_ttl", "idle_ttl has no effect without a min below max: the pool never shrinks")
	}
}

// limits reads what a process may use.
func (b *block) limits(l *host.Limits) {
	b.size64("memory", &l.Memory)
	if a, v := b.attr("cpu"); a != nil {
		n := 0.0
		if v.Type() == cty.Number && !v.IsNull() {
			n, _ = v.AsBigFloat().Float64()
		} else if v.Type() == cty.String && !v.IsNull() {
			n, _ = strconv.ParseFloat(v.AsString(), 64)
		}
		if n >= 0.01 && n <= 4096 {
			l.CPU = n
		} else {
			b.wrong(a, "want a number of processors, such as \"0.5\" or \"2\"")
		}
	}
	b.number("pids", 1, func(n int) { l.Pids = n })
	b.number("files", host.LeastFiles, func(n int) { l.Files = n })
	b.number("nice", -20, func(n int) {
		if l.Nice = n; n > 19 {
			b.wrong(b.body.Attributes["nice"], "want -20 to 19")
		}
	})
	if a := b.text("user", &l.User); a != nil {
		if _, err := host.LookupUser(l.User); err != nil {
			b.wrong(a, "%v", err)
		}
	}
	mask := ""
	if a := b.text("umask", &mask); a != nil {
		if n, err := strconv.ParseUint(mask, 8, 9); err != nil {
			b.wrong(a, "want an octal number in quotes, such as \"0027\"")
		} else {
			umask := int(n)
			l.Umask = &umask
		}
	}
}

// recycle reads when a process is replaced. limit is that of its memory, 0: none.
func (b *block) recycle(r *host.Recycle, limit int64) {
	b.number("tasks", 1, func(n int) { r.Tasks = n })
	b.duration("age", &r.Age)
	b.size64("memory", &r.Memory)
	if a := b.body.Attributes["memory"]; a != nil && limit > 0 && r.Memory >= limit {
		b.wrong(a, "is not below the memory in limits: the process would be killed before it is replaced")
	}
}

// autoscale reads the pace of pools that change their size.
func (b *block) autoscale(w *Worker) {
	b.duration("tick", &w.ScaleTick)
	b.number("up", 1, func(n int) { w.Scale.Up = n })
	b.number("down", 1, func(n int) { w.Scale.Down = n })
	if a, v := b.attr("backlog"); a != nil {
		n := 0.0
		if v.Type() == cty.Number && !v.IsNull() {
			n, _ = v.AsBigFloat().Float64()
		}
		if w.Scale.Backlog = n; n <= 0 {
			b.wrong(a, "want a number of more than 0: ready tasks for each slot")
		}
	}
	b.duration("up_cooldown", &w.Scale.UpCooldown)
	b.duration("down_cooldown", &w.Scale.DownCooldown)
}

func (b *block) size64(name string, dst *int64) {
	var n int
	b.size(name, &n)
	if n > 0 {
		*dst = int64(n)
	}
}
