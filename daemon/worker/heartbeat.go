package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stemd/stem"
	"github.com/stemd/stem/internal/proc"
)

// farewellWithin bounds the last write of a worker that stops.
const farewellWithin = 5 * time.Second

// beatsLast is how many intervals a heartbeat and a manifest are kept.
const beatsLast = 3

// heartbeatLoop writes the heartbeat and the manifests every interval, and when a manifest or a pool's processes change. One that could
// not be written is tried again soon: what went down with the store is to be seen as soon as it is up.
func (w *Worker) heartbeatLoop(ctx context.Context) {
	last, retry := time.Now(), newBackoff()
	for {
		err := w.writeHeartbeat(ctx)
		if err != nil || time.Since(last) > 2*w.cfg.Heartbeat {
			w.unheard.Store(time.Now().UnixNano())
		}
		last = time.Now()
		again := false
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.beatOutage.failed(err, "others take this daemon for gone")
			again = pause(ctx, retry.NextBackOff(), nil)
		default:
			w.beatOutage.over()
			retry.Reset()
		}
		if !again && !w.untilBeat(ctx) {
			return
		}
	}
}

// mayBeUnheard says that the manifests of daemons that live may be missing: what we could not write others could not either, so that theirs
// have expired, and are there again when each has had time to write it.
func (w *Worker) mayBeUnheard() bool {
	return time.Since(time.Unix(0, w.unheard.Load())) < beatsLast*w.cfg.Heartbeat
}

// poolsEvery is how often processes are looked at for a change that people should not see ten seconds late.
const poolsEvery = time.Second

// untilBeat waits for the next heartbeat: the interval, a manifest, or a process that came or went. false: ctx ended.
func (w *Worker) untilBeat(ctx context.Context) bool {
	was, due := w.processes(), time.Now().Add(w.cfg.Heartbeat)
	for {
		look := time.NewTimer(min(poolsEvery, time.Until(due)))
		select {
		case <-w.beat:
			look.Stop()
			return true
		case now := <-look.C:
			if !now.Before(due) || w.processes() != was {
				return true
			}
		case <-ctx.Done():
			look.Stop()
			return false
		}
	}
}

// processes sums up the pools' processes, for comparing.
func (w *Worker) processes() string {
	var sum []any
	for _, p := range w.pools {
		s := p.runner.Stats()
		sum = append(sum, s.State, s.Up, s.Restarts)
	}
	return fmt.Sprint(sum...)
}

// writeHeartbeat writes what this daemon is and can do, and reads now and then what others can.
func (w *Worker) writeHeartbeat(ctx context.Context) error {
	expires := time.Now().Add(beatsLast * w.cfg.Heartbeat)
	beat, err := json.Marshal(w.heartbeat())
	if err != nil {
		return fmt.Errorf("worker: heartbeat: %w", err)
	}
	writes := []stem.RecordWrite{{Record: stem.Record{
		RecordRef: stem.RecordRef{Kind: stem.KindHeartbeat, ID: w.cfg.Node}, Body: beat, Expires: expires,
	}}}
	for _, m := range w.manifests() {
		body, err := encodeManifest(m)
		if err != nil {
			return fmt.Errorf("worker: manifest of %s: %w", m.Plugin, err)
		}
		writes = append(writes, stem.RecordWrite{Record: stem.Record{RecordRef: w.manifestRef(m.Plugin), Body: body, Expires: expires}})
	}
	gone, err := w.presence.save(ctx, w.store.Records, writes, w.cfg.Alone == nil || w.cfg.Alone())
	if gone {
		w.log.Warn("store " + w.store.Info.Kind + ": the heartbeat of this daemon is gone before its time: was it flushed, or an older copy restored? " +
			"What waited there may be gone too; what ran then and is not there any more counts as a lost lease")
	}
	if err != nil {
		return err
	}
	if w.declared.age() < declaredBeats*w.cfg.Heartbeat {
		return nil
	}
	return w.declared.read(ctx, w.store)
}

func (w *Worker) manifestRef(plugin string) stem.RecordRef {
	return stem.RecordRef{Kind: stem.KindManifest, ID: w.cfg.Node + "/" + plugin}
}

// encodeManifest leaves the schemas out where they make the record too large: they only help people.
func encodeManifest(m stem.PluginManifest) ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil || len(body) <= stem.MaxRecord {
		return body, err
	}
	m.Tasks = slices.Clone(m.Tasks)
	for i := range m.Tasks {
		m.Tasks[i].ArgsSchema, m.Tasks[i].ResultSchema = nil, nil
	}
	return json.Marshal(m)
}

// farewell takes this daemon off the list: it has given everything back.
func (w *Worker) farewell() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.settler.ctx), farewellWithin)
	defer cancel()
	if broker, ok := w.store.Broker.(stem.Takeover); ok && w.settler.abandoned.Load() == 0 {
		// A claim that was interrupted may have been granted all the same.
		if n, err := broker.ReleaseOwner(ctx, w.cfg.owner()); err == nil && n > 0 {
			w.log.Debug("gave back claims that were interrupted", "tasks", n)
		}
	}
	writes := []stem.RecordWrite{{Op: stem.DeleteRecord, Record: stem.Record{RecordRef: stem.RecordRef{Kind: stem.KindHeartbeat, ID: w.cfg.Node}}}}
	for _, m := range w.manifests() {
		writes = append(writes, stem.RecordWrite{Op: stem.DeleteRecord, Record: stem.Record{RecordRef: w.manifestRef(m.Plugin)}})
	}
	if _, err := w.store.Records.Save(ctx, writes...); err != nil {
		w.log.Warn("could not sign off: this daemon is listed until its heartbeat expires", "error", err)
	}
}

// heartbeat is this daemon now.
func (w *Worker) heartbeat() stem.Heartbeat {
	host, _ := os.Hostname() // "" is as good as any other name here
	start, _ := proc.StartTime(os.Getpid())
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	stats := w.Stats()
	now := time.Now().UTC()
	h := stem.Heartbeat{
		WorkerID: w.cfg.Node, Namespace: w.cfg.Namespace, Timestamp: now, Version: w.cfg.Version, Inflight: stats.Running,
		Pools: stats.Pools, LastClaim: stats.LastClaim, Owner: w.cfg.owner(), BootID: w.cfg.Boot, StartTime: start,
		Interval: w.cfg.Heartbeat, Warnings: w.warnings(stats),
		Extras: stem.HeartbeatExtras{
			Host: host, Pid: os.Getpid(), StartedAt: w.begun.UTC(), UptimeMS: now.Sub(w.begun).Milliseconds(), Memory: memory.Sys,
			CPUCount: runtime.NumCPU(), Started: stats.Started, Completed: stats.Succeeded, Failed: stats.Dead,
			Classes: stats.Classes, SoftLimits: stats.SoftLimits, OutputsDropped: stats.OutputsDropped,
			Deleted: stats.Deleted,
		},
	}
	_, running := w.inflight.running()
	for _, p := range w.pools {
		_, queues := w.homes.of(p.Name)
		for _, queue := range queues {
			h.Queues = append(h.Queues, stem.HeartbeatQueue{Name: queue, Pool: p.Name, Inflight: running[queue]})
		}
	}
	slices.SortFunc(h.Queues, func(a, b stem.HeartbeatQueue) int { return strings.Compare(a.Name, b.Name) })
	return h
}

// warnings are what an operator should look at.
func (w *Worker) warnings(s Stats) []string {
	var list []string
	for _, p := range s.Pools {
		if p.Up == 0 && p.State != stem.PoolIdle {
			list = append(list, fmt.Sprintf("pool %s takes no tasks: %s", p.Name, p.State))
		}
	}
	for _, o := range []*outage{&w.claimOutage, &w.settleOutage, &w.renewOutage, &w.partOutage, &w.emptyOutage} {
		if o.down() {
			list = append(list, o.what+" does not work")
		}
	}
	if w.cfg.Warnings != nil {
		return append(list, w.cfg.Warnings()...)
	}
	return append(list, w.store.Info.Warnings...)
}

// manifests describes what this daemon handles: one entry per plugin, its pools together.
func (w *Worker) manifests() []stem.PluginManifest {
	var list []stem.PluginManifest
	for _, p := range w.pools {
		if !p.known.Load() {
			continue
		}
		tasks, queues := w.homes.of(p.Name)
		i := slices.IndexFunc(list, func(m stem.PluginManifest) bool { return m.Plugin == p.plugin() })
		if i < 0 {
			i = len(list)
			m := p.runner.Manifest()
			list = append(list, stem.PluginManifest{Node: w.cfg.Node, Plugin: p.plugin(), Version: m.Version, SDK: m.SDK, Protocol: m.Protocol, Tasks: tasks})
			for j := range tasks {
				e := resolve(nil, stem.Options{}, p.Policy, tasks[j])
				tasks[j].MaxRetries, tasks[j].Exclusive = e.maxRetries, e.exclusive
			}
		}
		list[i].Queues = append(list[i].Queues, queues...)
		slices.Sort(list[i].Queues)
	}
	return list
}

// declaredBeats is every how many heartbeats it is read what others can: each daemon reads it of all. A task whose name is new meanwhile
// is enqueued to the default queue and moved home.
const declaredBeats = 3

// declared is what live daemons declare. It is a few heartbeats old.
type declared struct {
	mu    sync.Mutex
	tasks map[string]stem.TaskSpec
	at    time.Time
}

func (d *declared) age() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Since(d.at)
}

func (d *declared) read(ctx context.Context, store stem.Store) error {
	manifests, err := stem.Manifests(ctx, store)
	if err != nil {
		return err
	}
	tasks := map[string]stem.TaskSpec{}
	for _, m := range manifests {
		for _, spec := range m.Tasks {
			tasks[spec.Name] = spec
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tasks, d.at = tasks, time.Now()
	return nil
}

func (d *declared) spec(name string) (stem.TaskSpec, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	spec, ok := d.tasks[name]
	return spec, ok
}
