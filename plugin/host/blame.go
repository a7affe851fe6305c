package host

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/register"
)

// cause is why the host killed a process. The zero value: it did not.
type cause struct {
	kind causeKind
	seq  uint64 // the attempt it was killed for
	why  string
}

type causeKind int

const (
	causeNone   causeKind = iota
	causeHard             // seq is over its hard limit
	causeSilent           // seq gave no sign of life for too long
	causeCancel           // seq was cancelled by force
	causeStop             // the pool stops
	causeBroken           // the process outlived its session; why says how that ended
	causeFrame            // the process sent a frame that was refused; why says which
	causeMemory           // it was over its memory limit; why says by how much
)

// dumps says whether the stacks at the kill are worth waiting for. After a lost lease somebody else may be running the task: then
// nothing is.
func (c cause) dumps() bool {
	return c.kind == causeHard || c.kind == causeSilent || c.kind == causeCancel && c.why == whyCancelled
}

// ownDoing says whether the process ended by something that an attempt in it did, as far as the cause tells, and not for our
// reasons.
func (c cause) ownDoing() bool {
	return c.kind == causeNone || c.kind == causeBroken || c.kind == causeFrame || c.kind == causeMemory
}

// death is all that is known of the end of a process.
type death struct {
	pid     int
	cause   cause
	exit    string         // "exit status 3", "signal: killed"
	signal  syscall.Signal // 0: it exited
	oom     bool           // evidence that the kernel killed it for memory
	words   string         // last words
	dump    string         // stacks of its goroutines before the kill; empty: none
	at      time.Time
	drained bool // it was asked to end
	// doubt says that suspects are to be tried alone; by are the ids of the tasks that ran in it or had just returned.
	doubt bool
	by    []string
	// entries is the register, nil when the plugin keeps none.
	entries map[uint64]register.Entry
}

// blame says how each attempt that a dead process held has ended. With a register exactly those running are to blame; done but
// unreported and unstarted ones run again and spend no attempt. Without a register nothing is sent ahead, so all that are held
// count as running. When several ran in a process that died by itself, or one ran and others had just returned, nobody can tell
// which one did it: those running are suspects, have not ended, and must each run alone. So must one that had returned for the
// second time without its outcome arriving: it may be what it left behind that kills its processes. Alone, it is to blame even if
// it had returned.
func blame(d death, lost []*held) (ended []plugin.Outcome, suspects []*held) {
	slices.SortFunc(lost, func(a, b *held) int { return cmp.Compare(a.seq, b.seq) })
	// The handler of a refused frame may have returned: running it again would send it again.
	refused := d.cause.kind == causeFrame && d.count(lost, register.Running) == 0
	doubt := false
	d.entries = maps.Clone(d.entries)
	for _, h := range lost {
		if d.state(h) == register.Done && (refused || d.cause.ownDoing() && (h.alone || h.again)) {
			e := d.entries[h.seq]
			e.State = register.Running
			d.entries[h.seq] = e
			doubt = doubt || h.again && !h.alone
		}
	}
	running, returned := d.count(lost, register.Running), d.count(lost, register.Done)
	doubt = (doubt || running > 1 || running == 1 && returned > 0) && d.cause.ownDoing() && !d.asked()
	ended = make([]plugin.Outcome, 0, len(lost))
	for _, h := range lost {
		if doubt && d.state(h) == register.Running {
			suspects = append(suspects, h)
		} else {
			ended = append(ended, d.end(h))
		}
	}
	return ended, suspects
}

// asked says whether the process ended because it was asked to.
func (d death) asked() bool { return d.drained && d.signal == 0 && d.exit == "exit status 0" }

// count the attempts that were in a state at the death.
func (d death) count(lost []*held, state register.State) (n int) {
	for _, h := range lost {
		if d.state(h) == state {
			n++
		}
	}
	return n
}

// begun are the ids of the tasks that had begun and whose ends had not been reported.
func (d death) begun(lost []*held) (ids []string) {
	for _, h := range lost {
		if d.state(h) != register.Free {
			ids = append(ids, h.ID)
		}
	}
	return ids
}

// state of an attempt at the death; Free: it had not started.
func (d death) state(h *held) register.State {
	if d.entries == nil {
		return register.Running
	}
	return d.entries[h.seq].State
}

func (d death) started(h *held) time.Time {
	if e, ok := d.entries[h.seq]; ok {
		return e.Started
	}
	return h.sent
}

// end decides on one attempt.
func (d death) end(h *held) plugin.Outcome {
	state := d.state(h)
	switch {
	case d.cause.kind == causeCancel && h.seq == d.cause.seq:
		return d.forced(h, state)
	case d.cause.kind == causeSilent && h.seq == d.cause.seq && state == register.Running:
		return d.failure(h, state, stem.ClassTimeout, "HeartbeatTimeout",
			fmt.Sprintf("heartbeat_timeout %v exceeded: no heartbeat and no progress for %.3fs; killed pid %d", h.Heartbeat, d.at.Sub(h.lastSign(d.started(h))).Seconds(), d.pid))
	case d.cause.kind == causeStop, d.asked():
		return notRun(h, stem.ClassDrain, "stopped for a shutdown", d.pid)
	case state == register.Done:
		return notRun(h, stem.ClassCollateral, "it had returned, but its process died before the outcome arrived", d.pid)
	case state == register.Free:
		return notRun(h, stem.ClassCollateral, "its process died before it started, or before its outcome arrived", d.pid)
	}
	switch d.cause.kind {
	case causeHard:
		if took := d.at.Sub(d.started(h)); h.Hard > 0 && took >= h.Hard {
			return d.failure(h, state, stem.ClassTimeout, "TimeoutError",
				fmt.Sprintf("hard limit %v exceeded; killed pid %d after %.3fs", h.Hard, d.pid, took.Seconds()))
		}
		return notRun(h, stem.ClassCollateral, "its process was killed for another task's hard limit", d.pid)
	case causeSilent:
		return notRun(h, stem.ClassCollateral, "its process was killed for another task's heartbeat_timeout", d.pid)
	case causeCancel:
		return notRun(h, stem.ClassCollateral, "its process was killed to cancel another task", d.pid)
	case causeMemory:
		return d.failure(h, state, stem.ClassOOM, "OutOfMemory", fmt.Sprintf("pid %d was killed: %s", d.pid, d.cause.why))
	case causeBroken, causeFrame:
		return d.failure(h, state, stem.ClassCrash, "ExecutorLost", d.last(fmt.Sprintf("pid %d was killed: %s", d.pid, d.cause.why)))
	}
	class := stem.ClassExit
	if d.signal != 0 {
		class = stem.ClassCrash
		if d.oom {
			class = stem.ClassOOM
		}
	}
	return d.failure(h, state, class, "ExecutorLost", d.last(fmt.Sprintf("pid %d died: %s", d.pid, d.exit)))
}

// forced is the end of the attempt its process was killed for.
func (d death) forced(h *held, state register.State) plugin.Outcome {
	switch d.cause.why {
	case whyShutdown:
		return notRun(h, stem.ClassDrain, "stopped for a shutdown", d.pid)
	case whyLostLease:
		return d.failure(h, state, stem.ClassLostLease, "LeaseLost", fmt.Sprintf("lease lost; killed pid %d", d.pid))
	}
	return d.failure(h, state, stem.ClassCancelled, "TaskRevoked", fmt.Sprintf("%s; killed pid %d", d.cause.why, d.pid))
}

func (d death) last(message string) string {
	if d.words == "" {
		return message
	}
	return message + "; last words:\n" + d.words
}

func (d death) failure(h *held, state register.State, class stem.Class, typ, message string) plugin.Outcome {
	o := plugin.Outcome{
		Attempt: h.Attempt, Kind: plugin.Failure, Pid: d.pid, Finished: d.at,
		Error: &stem.TaskError{Class: class, Type: typ, Message: message},
	}
	if state != register.Free {
		o.Started = d.started(h)
	}
	return o
}

// notRun is the end of an attempt that does not count.
func notRun(h *held, class stem.Class, message string, pid int) plugin.Outcome {
	return plugin.Outcome{
		Attempt: h.Attempt, Kind: plugin.NotRun, Pid: pid,
		Error: &stem.TaskError{Class: class, Type: "NotRun", Message: message},
	}
}

// judge corrects an outcome by what the host knows and the plugin may not: results that are too large, and failures that are
// answers to a cancellation.
func (p *process) judge(h *held, o *plugin.Outcome) {
	if o.Kind == plugin.Success && len(o.Result) > p.pool.cfg.MaxResult {
		size := &stem.SizeError{What: "the result of " + h.Name, Size: len(o.Result), Limit: p.pool.cfg.MaxResult}
		o.Kind, o.Result, o.Then = plugin.Failure, nil, nil
		o.Error = &stem.TaskError{Class: stem.ClassError, Type: "SizeError", Message: size.Error(), Permanent: true}
		return
	}
	if o.Kind != plugin.Failure {
		return
	}
	switch class := o.Error.Class; {
	case class == stem.ClassDrain || class == stem.ClassCollateral || class == stem.ClassSwap:
		o.Kind = plugin.NotRun
	case h.told == whyShutdown && !o.Error.Permanent && (class == stem.ClassError || class == stem.ClassCancelled):
		// It gave up because it was told to: no attempt is spent.
		o.Kind, o.Error.Class = plugin.NotRun, stem.ClassDrain
	case h.told == whyCancelled && class == stem.ClassError:
		o.Error.Class = stem.ClassCancelled
	case h.told == whyLostLease && class == stem.ClassError:
		o.Error.Class = stem.ClassLostLease
	}
}
