// Package scale decides how many processes a pool should have. Step is a pure function of what was and what is seen; it starts
// nothing, keeps no clock, and may be imported by whoever owns processes.
package scale

import "time"

// Rules bound a pool and pace its changes; WithDefaults fills in what is zero.
type Rules struct {
	Min, Max     int
	PerProcess   int           // tasks at once in a process; 1
	Up, Down     int           // processes added or taken away in one step; 1
	Backlog      float64       // ready tasks for each slot from which the pool grows; 1
	Idle         time.Duration // how long nothing may wait or run before it shrinks; 30 s
	UpCooldown   time.Duration // between two steps up; 5 s
	DownCooldown time.Duration // between two steps down; 10 s
}

// State is what a decision leaves for the next. The zero State is a pool of no processes that has never changed.
type State struct {
	Size     int
	Idle     time.Time // since when nothing waits and nothing runs; zero: something does
	LastUp   time.Time
	LastDown time.Time
	Depth    int // last known
}

// Observation is what is seen at a moment.
type Observation struct {
	Now      time.Time
	Depth    int // tasks that are ready in the pool's queues; negative: not known, the last known counts
	Inflight int // tasks in the pool's hands
}

// WithDefaults replaces what is not positive by its default and keeps Min ≤ Max.
func (r Rules) WithDefaults() Rules {
	r.Max = max(r.Max, 1)
	r.Min = min(max(r.Min, 0), r.Max)
	r.PerProcess, r.Up, r.Down = max(r.PerProcess, 1), max(r.Up, 1), max(r.Down, 1)
	if !(r.Backlog > 0) {
		r.Backlog = 1
	}
	for d, otherwise := range map[*time.Duration]time.Duration{
		&r.Idle: 30 * time.Second, &r.UpCooldown: 5 * time.Second, &r.DownCooldown: 10 * time.Second,
	} {
		if *d <= 0 {
			*d = otherwise
		}
	}
	return r
}

// Step decides on the next size. It grows by Up when there is a backlog for each slot and the last growth is UpCooldown ago; from
// no process at all it grows at once for anything there is to do. It shrinks by Down when nothing waited or ran for Idle and the
// last shrinking is DownCooldown ago. r must have its defaults.
func (r Rules) Step(s State, o Observation) State {
	if o.Depth >= 0 {
		s.Depth = o.Depth
	}
	s.Size = min(max(s.Size, r.Min), r.Max)
	if s.Depth == 0 && o.Inflight == 0 {
		if s.Idle.IsZero() {
			s.Idle = o.Now
		}
		if s.Size > r.Min && o.Now.Sub(s.Idle) >= r.Idle && o.Now.Sub(s.LastDown) >= r.DownCooldown {
			s.Size, s.LastDown = max(s.Size-r.Down, r.Min), o.Now
		}
		return s
	}
	s.Idle = time.Time{}
	switch {
	case s.Size == 0:
		s.Size, s.LastUp = 1, o.Now
	case s.Size < r.Max && s.Depth > 0 && o.Now.Sub(s.LastUp) >= r.UpCooldown &&
		float64(s.Depth) >= r.Backlog*float64(s.Size*r.PerProcess):
		s.Size, s.LastUp = min(s.Size+r.Up, r.Max), o.Now
	}
	return s
}
