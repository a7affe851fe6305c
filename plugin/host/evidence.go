package host

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/plugin"
	"github.com/stemd/stem/plugin/register"
	"golang.org/x/sys/unix"
)

// testify adds to the ends of a dead process's attempts what is known of its death: to those that failed and to those that had
// begun although they do not count.
func (p *process) testify(d death, lost []*held, ended []plugin.Outcome) {
	byID := make(map[string]*held, len(lost))
	for _, h := range lost {
		byID[h.ID] = h
	}
	for i := range ended {
		o := &ended[i]
		h := byID[o.Attempt.ID]
		if h == nil {
			continue
		}
		if o.Kind == plugin.NotRun {
			if d.state(h) == register.Free || d.entries == nil {
				continue
			}
			o.Started, o.Finished = d.started(h), d.at
		}
		e := p.evidence()
		e.OOM, e.PeakRSS, e.Stack = d.oom, p.peakAtDeath(), d.dump
		p.mu.Lock()
		if d.cause.kind != causeNone {
			e.Killed = p.killed
		}
		p.mu.Unlock()
		if !p.child.killedByUs() {
			e.ExitCode, e.Signal = p.child.code(), signalName(d.signal)
		}
		if e.Shared {
			e.Stderr = p.child.out.tail.since(0)
		} else {
			e.Stderr = p.child.out.tail.since(h.heard)
			e.CPU = cpuSince(d.entries[h.seq], p.cpuAtDeath())
		}
		o.Evidence = e
		switch o.Error.Class {
		case stem.ClassExit, stem.ClassCrash, stem.ClassOOM:
			o.Error.ExitCode, o.Error.Signal = e.ExitCode, e.Signal
		}
	}
}

// failure is an outcome that a living process reported, by its place in the frame, and the attempt it is of.
type failure struct {
	at int
	of *held
}

// witness adds to failures that a living process reports what is known of it. One look serves all of a frame.
func (p *process) witness(outcomes []plugin.Outcome, failures []failure) {
	if len(failures) == 0 {
		return
	}
	seen := p.evidence()
	seen.PeakRSS = peakRSS(p.child.id.Pid)
	var entries map[uint64]register.Entry
	var cpu time.Duration
	if !seen.Shared {
		entries, cpu = p.entries(), processCPU(p.child.id.Pid)
	}
	for _, f := range failures {
		e := *seen
		if !e.Shared {
			e.Stderr = p.child.out.tail.since(f.of.heard)
			// Once the slot has gone on to another attempt nothing says what this one used.
			e.CPU = cpuSince(entries[f.of.seq], cpu)
		}
		outcomes[f.at].Evidence = &e
	}
}

// evidence begins with what holds for all attempts of the process.
func (p *process) evidence() *plugin.Evidence {
	return &plugin.Evidence{Version: p.manifest.Version, SHA256: p.build.sum(), Shared: p.slots > 1, Limits: p.pool.limitsInForce()}
}

// cpuSince is what a process used between the start of the attempt that e is about and a later count; 0: not known.
func cpuSince(e register.Entry, later time.Duration) time.Duration {
	if e.CPU <= 0 || later < e.CPU {
		return 0
	}
	return later - e.CPU
}

// peakAtDeath is the largest resident set that the dead process is known to have had. What the kernel counts begins with that of
// the daemon, whose memory the child shares until its exec, so below that only looks taken while it lived count.
func (p *process) peakAtDeath() int64 {
	p.mu.Lock()
	seen, own := p.peak, p.ownPeak
	p.mu.Unlock()
	if usage := p.child.usage(); usage != nil {
		if kernel := usage.Maxrss << 10; kernel > own {
			return max(seen, kernel)
		}
	}
	return seen
}

// notePeak takes note of the peak of the living process.
func (p *process) notePeak() {
	peak := peakRSS(p.child.id.Pid)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.peak = max(p.peak, peak)
}

func (p *process) cpuAtDeath() time.Duration {
	usage := p.child.usage()
	if usage == nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// usage is what the kernel counted for the dead process; nil: unknown. Only after dead.
func (c *child) usage() *syscall.Rusage {
	if c.state == nil {
		return nil
	}
	usage, _ := c.state.SysUsage().(*syscall.Rusage)
	return usage
}

// code is the status the process exited with; nil: it did not exit by itself. Only after dead.
func (c *child) code() *int {
	if c.state == nil || !c.state.Exited() {
		return nil
	}
	n := c.state.ExitCode()
	return &n
}

func signalName(s syscall.Signal) string {
	if s == 0 {
		return ""
	}
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return "signal " + strconv.Itoa(int(s))
}

// ownPeak is the daemon's own peak resident set, in bytes.
func ownPeak() int64 {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return usage.Maxrss << 10
}

// peakRSS is the peak resident set of a living process in bytes; 0: unknown.
func peakRSS(pid int) int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(b, []byte("\nVmHWM:"))
	line, _, _ := bytes.Cut(after, []byte("\n"))
	kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(line)), " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}

// processCPU is the CPU time of a living process; 0: unknown.
func processCPU(pid int) time.Duration {
	const perProcess = 2 // CPUCLOCK_SCHED of all its threads, from <linux/posix-timers.h>
	var t unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|perProcess), &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
