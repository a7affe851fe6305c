// Package stemtest runs handlers in Go tests: one handler by itself, or a whole plugin behind a worker and a memory store, with the
// wire between them or without. It starts no process; what only a process can show (kills, crashes) is tested with stemd.
package stemtest

import (
	"context"
	"encoding/json"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/memory"
	"github.com/stemd/stem/daemon/worker"
	"github.com/stemd/stem/plugin"
	pluginv1 "github.com/stemd/stem/plugin/proto/stem/plugin/v1"
	"github.com/stemd/stem/plugin/sdk"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// slots is how many handlers run at once in a started plugin.
const slots = 4

// Run runs one handler once, with a task context, and returns what it returned as a client would see it: the result decoded from
// its encoding, or a *stem.TaskError. Options are those of the message: meta, headers, limits.
func Run[A, R any](t testing.TB, task stem.Task[A, R], handler func(context.Context, A) (R, error), args A, opts ...stem.Option) (R, error) {
	t.Helper()
	p := sdk.New("stemtest", "0")
	sdk.Handle(p, task, handler)
	call := task.Call(args, opts...)
	h := stem.NewHeader(call.Name, call.Options...)
	body, err := json.Marshal(args)
	if err != nil {
		t.Fatalf("stemtest: arguments: %v", err)
	}
	msg, err := stem.BuildMessage(stem.DefaultNamespace, h, body)
	if err != nil {
		t.Fatalf("stemtest: %v", err)
	}
	sink := &recorder{done: make(chan plugin.Outcome, 1), ready: make(chan struct{}, 1)}
	mux := sdk.NewMux(p, sink, 1)
	run(t, mux.Run)
	<-sink.ready
	a := plugin.Attempt{ID: msg.ID, Name: msg.Name, Epoch: 1, Queue: msg.Queue, Header: msg.Envelope.Header, Body: body}
	if l := h.Options.SoftLimit; l != nil {
		a.Soft = *l
	}
	if l := h.Options.HardLimit; l != nil {
		a.Hard = *l
	}
	mux.Start([]plugin.Attempt{a})
	var result R
	select {
	case o := <-sink.done:
		if o.Error != nil {
			return result, o.Error
		}
		return result, json.Unmarshal(o.Result, &result)
	case <-t.Context().Done():
		return result, t.Context().Err()
	}
}

// recorder is a sink for one attempt.
type recorder struct {
	done  chan plugin.Outcome
	ready chan struct{}
}

func (r *recorder) Done(os []plugin.Outcome) {
	for _, o := range os {
		select {
		case r.done <- o:
		default: // the test has its outcome
		}
	}
}

func (r *recorder) Ready() {
	select {
	case r.ready <- struct{}{}:
	default:
	}
}
func (r *recorder) Progress(plugin.Attempt, plugin.Progress) {}
func (r *recorder) SoftLimit(plugin.Attempt)                 {}
func (r *recorder) Log(plugin.Attempt, plugin.LogRecord)     {}
func (r *recorder) Enqueue(_ context.Context, a plugin.Attempt, tasks []plugin.NewTask) ([]string, error) {
	ids := make([]string, len(tasks))
	for i, task := range tasks {
		ids[i] = stem.ChildID(a.ID, task.Key)
	}
	return ids, nil
}

// Start runs the whole plugin behind a worker and a memory store until the test ends, and returns the store. A client of it sees
// what producers see: retries, dead letters, children.
func Start(t testing.TB, p *sdk.Plugin) stem.Store {
	t.Helper()
	return start(t, func(sink plugin.Sink) worker.Runner { return sdk.NewMux(p, sink, slots) })
}

// StartWire is Start with the plugin protocol in between, over a unix socket.
func StartWire(t testing.TB, p *sdk.Plugin) stem.Store {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatalf("stemtest: %v", err)
	}
	server := grpc.NewServer()
	pluginv1.RegisterPluginServiceServer(server, sdk.NewService(p, func() {}))
	go server.Serve(listener) //nolint:errcheck // ends with Stop
	conn, err := grpc.NewClient("unix:"+listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatalf("stemtest: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close(); server.Stop() }) // after the worker's
	return start(t, func(sink plugin.Sink) worker.Runner {
		return &remote{sdk.NewMux(p, sink, slots), pluginv1.NewPluginServiceClient(conn)}
	})
}

// remote is a Mux whose handlers are at the other end of a connection.
type remote struct {
	*sdk.Mux
	client pluginv1.PluginServiceClient
}

func (r *remote) Run(ctx context.Context) error { return r.RunOver(ctx, r.client) }

func start(t testing.TB, runner func(plugin.Sink) worker.Runner) stem.Store {
	t.Helper()
	store, err := memory.Open(t.Context(), "memory://")
	if err != nil {
		t.Fatalf("stemtest: %v", err)
	}
	t.Cleanup(func() { _ = store.Close() })
	w, err := worker.New(worker.Config{
		Node: "stemtest", Boot: "1", Pools: []worker.Pool{{Name: "stemtest", Plugin: "stemtest", New: runner}},
	}, store, hclog.NewNullLogger())
	if err != nil {
		t.Fatalf("stemtest: %v", err)
	}
	run(t, w.Run)
	return store
}

// run runs fn until the test ends and waits for its end.
func run(t testing.TB, fn func(context.Context) error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var done sync.WaitGroup
	done.Go(func() {
		if err := fn(ctx); err != nil && ctx.Err() == nil {
			t.Errorf("stemtest: %v", err)
		}
	})
	t.Cleanup(func() { stop(); done.Wait() })
}
