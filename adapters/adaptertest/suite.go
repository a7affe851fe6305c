// Package adaptertest is the contract of a store as tests. Every adapter, in this module or elsewhere, runs it:
//
//	func TestContract(t *testing.T) {
//		adaptertest.Run(t, func(t *testing.T, opts ...stem.StoreOption) stem.Store {
//			store, err := nats.Open(t.Context(), "nats://"+server(t), opts...)
//			if err != nil {
//				t.Fatal(err)
//			}
//			return store
//		}, adaptertest.Capabilities{Inspector: true, Maintainer: true})
//	}
//
// Each case is one sentence of the contract; the sentence is the name of the subtest. What an adapter declares is required of
// it: nothing is skipped at run time. The cases never assert speed.
package adaptertest

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stemd/stem"
)

// Open gives a fresh, empty store. Run closes it at the end of the case. It may be called concurrently.
type Open func(t *testing.T, opts ...stem.StoreOption) stem.Store

// Capabilities declare what the adapter has beyond the three ports. The suite fails when a declared one is missing, and when
// one is there but not declared.
type Capabilities struct {
	// Clock: the store takes every time from StoreOptions.Now. The suite then moves that clock instead of waiting.
	Clock bool
	// Virtual: the store lives in this process and waits only for timers and channels. The suite then runs each case in a
	// testing/synctest bubble, where waiting takes no time.
	Virtual    bool
	Bus        bool
	Inspector  bool // of the Broker
	Maintainer bool // of the Broker
	Takeover   bool // of the Broker
	Limiter    bool // of the Broker
	// LimitsExpire: keys of the Limiter that have rested go by themselves, and Maintain counts none.
	LimitsExpire bool
	// Composed: results are not in the store of the queues. What is said of a live task is then written, and in what state it is must be
	// right all the same as long as daemons say so of what they settle; Model asks for no more of it, and does not depend on the order of
	// what happens at one instant in different queues.
	Composed bool
	// Sibling opens another handle on the storage of a store that Open gave, as another process would, perhaps with other
	// options; nil: the storage belongs to the handle. Run closes the sibling.
	Sibling func(t *testing.T, of stem.Store, opts ...stem.StoreOption) stem.Store
	// Leftovers names what the storage of a store holds, but for what is there as soon as it was used and does not grow. Model asks when all
	// has ended and expired; nil: it does not ask.
	Leftovers func(t *testing.T, of stem.Store) []string
	// ModelRuns is how many runs Model makes unless -rapid.checks says; 0: as many as the kind of store is worth.
	ModelRuns int
}

// a testCase is one rule.
type testCase struct {
	rule  string
	needs func(Capabilities) bool // nil: always required
	// live cases let real time pass because a call waits in them.
	live bool
	opts []stem.StoreOption
	run  func(*rig)
}

func suite() map[string][]testCase {
	return map[string][]testCase{
		"publish":   publishCases(),
		"dedupe":    dedupeCases(),
		"order":     orderCases(),
		"delay":     delayCases(),
		"wait":      waitCases(),
		"lease":     leaseCases(),
		"epoch":     epochCases(),
		"settle":    settleCases(),
		"save":      saveCases(),
		"ackearly":  ackEarlyCases(),
		"dead":      append(deadCases(), replayCases()...),
		"results":   append(resultCases(), lifeCases()...),
		"watch":     watchCases(),
		"records":   append(recordCases(), versionCases()...),
		"paging":    pagingCases(),
		"inspect":   inspectCases(),
		"takeover":  takeoverCases(),
		"maintain":  maintainCases(),
		"sibling":   siblingCases(),
		"unique":    uniqueCases(),
		"groups":    groupCases(),
		"daemons":   daemonCases(),
		"broadcast": broadcastCases(),
		"events":    eventCases(),
		"locks":     lockCases(),
		"bus":       busCases(),
		"limiter":   limiterCases(),
		"crowd":     crowdCases(),
		"documents": documentCases(),
		"store":     storeCases(),
		"workflow":  workflowCases(),
	}
}

// Run runs the contract against the stores that open gives.
func Run(t *testing.T, open Open, caps Capabilities) {
	groups := suite()
	names := make([]string, 0, len(groups))
	for name := range groups {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			for _, c := range groups[name] {
				if c.needs != nil && !c.needs(caps) {
					continue
				}
				t.Run(c.rule, func(t *testing.T) {
					if caps.Virtual {
						synctest.Test(t, func(t *testing.T) { c.run(newRig(t, open, caps, c)) })
						return
					}
					if !caps.Clock {
						t.Parallel() // these cases wait for time to pass
					}
					c.run(newRig(t, open, caps, c))
				})
			}
		})
	}
}

func inspector(c Capabilities) bool  { return c.Inspector }
func maintainer(c Capabilities) bool { return c.Maintainer }
func takeover(c Capabilities) bool   { return c.Takeover }
func limiter(c Capabilities) bool    { return c.Limiter }
func bus(c Capabilities) bool        { return c.Bus }
func sibling(c Capabilities) bool    { return c.Sibling != nil }
func settable(c Capabilities) bool   { return c.Clock }

func storeCases() []testCase {
	return []testCase{
		{rule: "a store has exactly the capabilities declared for it", run: func(r *rig) {
			_, inspects := r.store.Broker.(stem.Inspector)
			_, maintains := r.store.Broker.(stem.Maintainer)
			_, takesOver := r.store.Broker.(stem.Takeover)
			_, limits := r.store.Broker.(stem.Limiter)
			for _, c := range []struct {
				what           string
				declared, have bool
			}{
				{"Bus", r.caps.Bus, r.store.Bus != nil},
				{"Inspector", r.caps.Inspector, inspects},
				{"Maintainer", r.caps.Maintainer, maintains},
				{"Takeover", r.caps.Takeover, takesOver},
				{"Limiter", r.caps.Limiter, limits},
			} {
				if c.declared != c.have {
					r.Errorf("%s: declared %t, present %t", c.what, c.declared, c.have)
				}
			}
		}},
		{rule: "a store says its kind and its namespace", opts: []stem.StoreOption{stem.Namespace("blue")}, run: func(r *rig) {
			if r.store.Info.Kind == "" || r.store.Info.Namespace != "blue" {
				r.Errorf("info is %+v", r.store.Info)
			}
		}},
		{rule: "a closed store answers ErrClosed", run: func(r *rig) {
			r.noError(r.store.Close())
			_, err := r.store.Broker.Publish(r.ctx, r.msg("a"))
			r.isError(err, stem.ErrClosed)
			_, err = r.store.Broker.Claim(r.ctx, r.ask(1))
			r.isError(err, stem.ErrClosed)
			_, err = r.store.Results.Load(r.ctx, "a")
			r.isError(err, stem.ErrClosed)
			_, err = r.store.Records.Load(r.ctx, stem.RecordRef{Kind: "k", ID: "a"})
			r.isError(err, stem.ErrClosed)
		}},
		{rule: "closing twice is no error", run: func(r *rig) {
			r.noError(r.store.Close())
			r.noError(r.store.Close())
		}},
	}
}
