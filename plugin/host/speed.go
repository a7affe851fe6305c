package host

import (
	"sync"
	"time"

	"github.com/stemd/stem/plugin"
)

// pace is how long the handlers of a name are known to run: nothing is known or too long to send anything ahead, under
// fastEnough, or under brief.
type pace uint8

const (
	slow pace = iota
	fast
	brisk
	paces
)

const (
	fastEnough = 5 * time.Millisecond
	brief      = time.Millisecond / 2
	learnFrom  = 8 // runs before a name may be called fast
	// smoothing of mean and deviation: a change shows after some sixteen runs.
	smoothing = 1.0 / 16
	// longestRun caps what one run counts, so that one hanging task stops the sending ahead of its name for about a hundred runs
	// and not for ever.
	longestRun = time.Second
)

// speeds knows how long the handlers of each task name run. Safe for concurrent use.
type speeds struct {
	mu    sync.Mutex
	names map[string]*speed
}

type run struct {
	name string
	took time.Duration
}

// speed is a moving mean and mean deviation, as TCP keeps of its round trips: mean + 2 deviations lies near the 95th percentile
// of what runs look like.
type speed struct {
	runs            int
	mean, deviation float64
}

func newSpeeds() *speeds { return &speeds{names: map[string]*speed{}} }

// learn takes in finished runs.
func (s *speeds) learn(runs []run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range runs {
		v := s.names[r.name]
		if v == nil {
			v = &speed{}
			s.names[r.name] = v
		}
		v.add(min(r.took, longestRun))
	}
}

// of says of each attempt what is known of its name.
func (s *speeds) of(attempts []plugin.Attempt) []pace {
	out := make([]pace, len(attempts))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range attempts {
		if v := s.names[attempts[i].Name]; v != nil {
			out[i] = v.pace()
		}
	}
	return out
}

func (v *speed) add(took time.Duration) {
	v.runs++
	x := float64(max(took, 0))
	if v.runs == 1 {
		v.mean, v.deviation = x, x/2
		return
	}
	diff := x - v.mean
	v.mean += smoothing * diff
	if diff < 0 {
		diff = -diff
	}
	v.deviation += smoothing * (diff - v.deviation)
}

func (v *speed) pace() pace {
	switch long := v.mean + 2*v.deviation; {
	case v.runs < learnFrom || long >= float64(fastEnough):
		return slow
	case long >= float64(brief):
		return fast
	}
	return brisk
}

// took is how long a handler ran, by its own account, else by ours.
func took(o plugin.Outcome, sent, now time.Time) time.Duration {
	if o.Started.IsZero() || o.Finished.Before(o.Started) {
		return now.Sub(sent)
	}
	return o.Finished.Sub(o.Started)
}
