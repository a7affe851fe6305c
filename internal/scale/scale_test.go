package scale

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

func TestOneStepOfScaling(t *testing.T) {
	rules := Rules{Min: 1, Max: 8, PerProcess: 4, Up: 2, Down: 3}.WithDefaults()
	zero := rules
	zero.Min = 0
	for _, c := range []struct {
		what  string
		rules Rules
		state State
		see   Observation
		want  int
	}{
		{"starts at its least", rules, State{}, Observation{Now: at(0)}, 1},
		{"a backlog for each slot makes it grow by a step", rules, State{Size: 2}, Observation{Now: at(0), Depth: 8, Inflight: 8}, 4},
		{"less of a backlog does not", rules, State{Size: 2}, Observation{Now: at(0), Depth: 7, Inflight: 8}, 2},
		{"never beyond its most", rules, State{Size: 7}, Observation{Now: at(0), Depth: 1000}, 8},
		{"not within the cooldown", rules, State{Size: 2, LastUp: at(-4.9)}, Observation{Now: at(0), Depth: 1000}, 2},
		{"again after it", rules, State{Size: 2, LastUp: at(-5)}, Observation{Now: at(0), Depth: 1000}, 4},
		{"an unknown depth is the last known", rules, State{Size: 2, Depth: 8}, Observation{Now: at(0), Depth: -1}, 4},
		{"idle long enough it shrinks by a step", rules, State{Size: 8, Idle: at(-30)}, Observation{Now: at(0)}, 5},
		{"not earlier", rules, State{Size: 8, Idle: at(-29)}, Observation{Now: at(0)}, 8},
		{"idleness that begins now is not long", rules, State{Size: 8}, Observation{Now: at(0)}, 8},
		{"not while something runs", rules, State{Size: 8, Idle: at(-60)}, Observation{Now: at(0), Inflight: 1}, 8},
		{"not within the cooldown of shrinking", rules, State{Size: 5, Idle: at(-60), LastDown: at(-9)}, Observation{Now: at(0)}, 5},
		{"never below its least", rules, State{Size: 2, Idle: at(-60)}, Observation{Now: at(0)}, 1},
		{"to zero where that is allowed", zero, State{Size: 2, Idle: at(-60)}, Observation{Now: at(0)}, 0},
		{"from zero for whatever there is to do", zero, State{}, Observation{Now: at(0), Inflight: 1}, 1},
		{"from zero regardless of cooldowns", zero, State{LastUp: at(-1)}, Observation{Now: at(0), Depth: 1}, 1},
		{"zero stays zero with nothing to do", zero, State{}, Observation{Now: at(0)}, 0},
	} {
		if got := c.rules.Step(c.state, c.see); got.Size != c.want {
			t.Errorf("%s: %d, want %d", c.what, got.Size, c.want)
		}
	}
}

func TestWhateverIsSeenThePoolKeepsItsBoundsAndItsPace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rules{
			Min: rapid.IntRange(-1, 6).Draw(t, "min"), Max: rapid.IntRange(0, 12).Draw(t, "max"),
			PerProcess: rapid.IntRange(0, 8).Draw(t, "per process"),
			Up:         rapid.IntRange(0, 4).Draw(t, "up"), Down: rapid.IntRange(0, 4).Draw(t, "down"),
			Backlog: rapid.Float64Range(-1, 3).Draw(t, "backlog"),
		}.WithDefaults()
		s, now := State{}, noon
		s = r.Step(s, Observation{Now: now})
		busy := now // the last time anything was there to do
		var up, down time.Time
		for range rapid.IntRange(1, 60).Draw(t, "ticks") {
			now = now.Add(time.Duration(rapid.IntRange(1, 20_000).Draw(t, "ms")) * time.Millisecond)
			o := Observation{Now: now, Depth: rapid.IntRange(-1, 40).Draw(t, "depth"), Inflight: rapid.IntRange(0, 2).Draw(t, "inflight")}
			was := s
			s = r.Step(s, o)
			if s.Depth > 0 || o.Inflight > 0 {
				busy = now
			}
			if s.Size < r.Min || s.Size > r.Max {
				t.Fatalf("%d is not within %d and %d", s.Size, r.Min, r.Max)
			}
			switch d := s.Size - was.Size; {
			case d > 0:
				if was.Size > 0 && (d > r.Up || now.Sub(up) < r.UpCooldown) {
					t.Fatalf("grew by %d, %v after the last time", d, now.Sub(up))
				}
				up = now
			case d < 0:
				if -d > r.Down || now.Sub(down) < r.DownCooldown || now.Sub(busy) < r.Idle {
					t.Fatalf("shrank by %d, %v after the last time, %v after it was last busy", -d, now.Sub(down), now.Sub(busy))
				}
				down = now
			case was.Size == 0 && (s.Depth > 0 || o.Inflight > 0):
				t.Fatal("there is work and nobody to do it")
			}
		}
	})
}

func TestAnIdlePoolReachesItsLeastAndABusyOneItsMost(t *testing.T) {
	r := Rules{Min: 0, Max: 7, Up: 2, Down: 2}.WithDefaults()
	s, now := State{Size: 7}, noon
	for range 40 {
		now = now.Add(2 * time.Second)
		s = r.Step(s, Observation{Now: now})
	}
	if s.Size != 0 {
		t.Errorf("%d processes are left of an idle pool", s.Size)
	}
	for range 20 {
		now = now.Add(2 * time.Second)
		s = r.Step(s, Observation{Now: now, Depth: 100, Inflight: s.Size})
	}
	if s.Size != 7 {
		t.Errorf("%d processes with a backlog of 100, want 7", s.Size)
	}
}
