package daemon

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
)

// look is an answer of a store.
type look struct {
	found []string
	err   error
}

func TestWhatIsWrongWithTheStoreIsToldWhenItBeginsAndWhenItIsCured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer // it is read while nobody looks
		var now atomic.Pointer[look]
		w := newWatch(stem.Store{
			Info:        stem.StoreInfo{Warnings: []string{"no file"}},
			ExamineFunc: func(context.Context) ([]string, error) { l := now.Load(); return l.found, l.err },
		}, hclog.New(&hclog.LoggerOptions{Output: &log}))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { w.run(ctx); close(ended) }()
		for _, step := range []struct {
			look
			logs []string
		}{
			{look{[]string{"no file"}, nil}, []string{"[WARN]  store: no file"}},
			{look{[]string{"no file", "91 % full"}, nil}, []string{"[WARN]  store: 91 % full"}},
			{look{[]string{"92 % full"}, nil}, []string{"[INFO]  store: no longer: no file"}},
			{look{nil, errors.New("connection refused")}, nil},
			{look{[]string{"100 % full", "a failing disk"}, errors.New("one of them does not answer")}, []string{"[WARN]  store: a failing disk"}},
			{look{[]string{"a failing disk"}, errors.New("the other one does not answer")}, nil},
			{look{[]string{"100 % full"}, nil}, []string{"[INFO]  store: no longer: a failing disk"}},
			{look{nil, nil}, []string{"[INFO]  store: no longer: 100 % full"}},
		} {
			synctest.Wait()
			now.Store(&step.look)
			time.Sleep(watchEvery)
			synctest.Wait()
			var logged []string
			for line := range strings.Lines(log.String()) {
				_, said, _ := strings.Cut(strings.TrimSpace(line), " ")
				logged = append(logged, said)
			}
			if log.Reset(); !slices.Equal(logged, step.logs) {
				t.Errorf("%q, %v: logged %q, want %q", step.found, step.err, logged, step.logs)
			}
			if got := w.current(); step.err == nil && !slices.Equal(got, step.found) || step.err != nil && len(got) == 0 {
				t.Errorf("%q, %v: the heartbeat says %q", step.found, step.err, got)
			}
		}
		stop()
		<-ended
	})
}
