package service_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stemd/stem/internal/service"
)

type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) part(name string, fail <-chan error) service.Part {
	return service.Part{Name: name, Service: service.Func(func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			j.add("stop " + name)
			return ctx.Err()
		case err := <-fail:
			return err
		}
	})}
}

func TestPartsStopFromTopToBottomWhenTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- service.Stack{j.part("store", nil), j.part("worker", nil), j.part("page", nil)}.Run(ctx)
		}()
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("a stop that was asked for is no error, got %v", err)
		}
		if want := []string{"stop page", "stop worker", "stop store"}; !slices.Equal(j.lines, want) {
			t.Errorf("stopped in the order %v, want %v", j.lines, want)
		}
	})
}

func TestAFailingPartStopsTheOthersAndIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		fail := make(chan error, 1)
		fail <- errors.New("disk on fire")
		err := service.Stack{j.part("store", nil), j.part("worker", fail), j.part("page", nil)}.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "worker: disk on fire") {
			t.Errorf("got %v, want the part's name and its error", err)
		}
		if want := []string{"stop page", "stop store"}; !slices.Equal(j.lines, want) {
			t.Errorf("stopped %v, want %v", j.lines, want)
		}
	})
}
