package daemon

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
)

const (
	// watchEvery is the time between two looks at the store.
	watchEvery = time.Minute
	// watchPatience bounds one look.
	watchPatience = 10 * time.Second
)

// watch looks now and then at what an operator should know of the store, and logs what is new of it and what has been cured.
type watch struct {
	store stem.Store
	log   hclog.Logger

	mu       sync.Mutex
	warnings []string
}

// newWatch begins with what the store said when it was opened.
func newWatch(store stem.Store, log hclog.Logger) *watch {
	w := &watch{store: store, log: log}
	w.tell(store.Info.Warnings)
	return w
}

// run looks until ctx ends. A store that does not answer is told of by those who work with it. What was known then stays, and what the
// others of its servers say is told.
func (w *watch) run(ctx context.Context) {
	if w.store.ExamineFunc == nil {
		return
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		looking, stop := context.WithTimeout(ctx, watchPatience)
		found, err := w.store.Examine(looking)
		stop()
		if err != nil {
			found = slices.Concat(found, slices.DeleteFunc(slices.Clone(w.current()), func(s string) bool { return told(found, s) }))
		}
		w.tell(found)
	}
}

// current is what was seen last, for the heartbeat.
func (w *watch) current() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.warnings
}

func (w *watch) tell(found []string) {
	w.mu.Lock()
	before := w.warnings
	w.warnings = found
	w.mu.Unlock()
	for _, s := range found {
		if !told(before, s) {
			w.log.Warn("store: " + s)
		}
	}
	for _, s := range before {
		if !told(found, s) {
			w.log.Info("store: no longer: " + s)
		}
	}
}

// told says whether a list has a warning, perhaps with other numbers.
func told(list []string, warning string) bool {
	same := topic(warning)
	return slices.ContainsFunc(list, func(s string) bool { return topic(s) == same })
}

func topic(warning string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, warning)
}
