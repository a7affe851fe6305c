package redis_test

import (
	"errors"
	"testing"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/testserver"
)

// A server that comes back with data from before a task was taken offers it again, until who has it books it; one that comes back with data from
// before it was published has lost it, and says so.
func TestAServerThatComesBackWithOlderDataHasATakenTaskOnceOrNotAtAll(t *testing.T) {
	t.Parallel()
	for name, published := range map[string]bool{"from before it was taken": true, "from before it was published": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := testserver.NewRedis(t, "appendonly no")
			producer, taker := open(t, server.URL()), open(t, server.URL())
			m := single(t)
			if published {
				publish(t, producer, m)
			}
			if err := server.Client.Save(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			if !published {
				publish(t, producer, m)
			}
			d := take(t, taker, m)
			if err := server.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := server.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			var errs []error
			until(t, "it is settled", func() (ok bool) {
				var err error
				errs, err = taker.Broker.Settle(t.Context(), done(d))
				return err == nil
			})
			if lost := errors.Is(errs[0], stem.ErrLeaseLost); lost == published || !lost && errs[0] != nil {
				t.Errorf("settled: %v", errs)
			}
			claimsOnly(t, open(t, server.URL()), nil)
			sound(t, server)
		})
	}
}
