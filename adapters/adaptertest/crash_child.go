package adaptertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"github.com/stemd/stem"
)

// crashURL in the environment makes a test binary the process that Crash kills; crashSeed is what it draws from.
const (
	crashURL  = "STEM_TEST_CRASH_URL"
	crashSeed = "STEM_TEST_CRASH_SEED"
)

const (
	crashLease  = 500 * time.Millisecond
	crashRecord = "crash"
)

// CrashChild makes this process, when Crash has started it, work a store until it is killed; then it never returns. Call it first in
// TestMain. open opens the store of a URL.
func CrashChild(open func(ctx context.Context, url string, opts ...stem.StoreOption) (stem.Store, error)) {
	url := os.Getenv(crashURL)
	if url == "" {
		return
	}
	seed, err := strconv.ParseUint(os.Getenv(crashSeed), 10, 64)
	if err == nil {
		err = crashWork(url, seed, open)
	}
	fmt.Println("error", err)
	os.Exit(1)
}

// crashWork publishes, claims, settles and saves at full speed. It says what has certainly happened, a line each: once the store has
// answered and not before.
func crashWork(url string, seed uint64, open func(context.Context, string, ...stem.StoreOption) (stem.Store, error)) error {
	ctx := context.Background()
	store, err := open(ctx, url)
	if err != nil {
		return err
	}
	ended := make(chan error)
	for part, work := range []func(context.Context, stem.Store, *rand.Rand, string) error{crashPublisher, crashPublisher, crashWorker, crashWorker, crashRecorder} {
		name := fmt.Sprintf("%d.%d", seed, part)
		draw := rand.New(rand.NewPCG(seed, uint64(part)))
		go func() { ended <- work(ctx, store, draw, name) }()
	}
	return <-ended // only an error ends one
}

func crashPublisher(ctx context.Context, store stem.Store, draw *rand.Rand, name string) error {
	for n := 0; ; n++ {
		if n%8 == 0 {
			if err := crashGroup(ctx, store, fmt.Sprintf("%s.%d", name, n)); err != nil {
				return err
			}
		}
		batch := make([]stem.Message, 1+draw.IntN(12))
		for i := range batch {
			m, err := crashMessage(fmt.Sprintf("%s.%d.%d", name, n, i), queue)
			if err != nil {
				return err
			}
			m.Priority, m.GeneratedID = draw.IntN(10), draw.IntN(2) == 0
			if draw.IntN(4) == 0 {
				m.State.NotBefore = time.Now().Add(time.Duration(draw.IntN(20)) * time.Millisecond)
			}
			batch[i] = m
		}
		if err := crashPublish(ctx, store, batch...); err != nil {
			return err
		}
	}
}

// crashGroup opens a group of three tasks with a callback and publishes them.
func crashGroup(ctx context.Context, store stem.Store, id string) error {
	callback, err := crashMessage(id+".callback", callbacks)
	if err != nil {
		return err
	}
	group := stem.Group{ID: id, Callback: &callback}
	members := make([]stem.Message, 3)
	for i := range members {
		if members[i], err = crashMessage(fmt.Sprintf("%s.member%d", id, i), queue); err != nil {
			return err
		}
		h := stem.NewHeader(task, stem.TaskID(members[i].ID), stem.Queue(queue))
		h.Canvas.GroupID = id
		if members[i].Envelope.Header, err = stem.EncodeHeader(h); err != nil {
			return err
		}
		group.Members = append(group.Members, members[i].ID)
	}
	if err := store.Results.OpenGroups(ctx, group); err != nil {
		return fmt.Errorf("open group: %w", err)
	}
	fmt.Println("group", id)
	return crashPublish(ctx, store, members...)
}

func crashMessage(id, queue string) (stem.Message, error) {
	return stem.BuildMessage(stem.DefaultNamespace, stem.NewHeader(task, stem.TaskID(id), stem.Queue(queue)), []byte("body of "+id))
}

func crashPublish(ctx context.Context, store stem.Store, msgs ...stem.Message) error {
	out, err := store.Broker.Publish(ctx, msgs...)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	for _, p := range out {
		if p.State != stem.Accepted {
			return fmt.Errorf("publish: task %s is not accepted: %+v", p.ID, p)
		}
		fmt.Println("accepted", p.ID)
	}
	return nil
}

// crashWorker claims and ends claims in every way, those of group members only well.
func crashWorker(ctx context.Context, store stem.Store, draw *rand.Rand, name string) error {
	for n := 0; ; n++ {
		ds, err := store.Broker.Claim(ctx, crashClaim(name, 1+draw.IntN(12)))
		if err != nil {
			return fmt.Errorf("claim: %w", err)
		}
		settlements := make([]stem.Settlement, len(ds))
		for i, d := range ds {
			kind := []stem.Kind{stem.Done, stem.Done, stem.Done, stem.Dead, stem.Retry, stem.Hold, stem.Release}[draw.IntN(7)]
			if settlements[i], err = crashSettlement(d, kind); err != nil {
				return err
			}
			if kind == stem.Done && draw.IntN(3) == 0 {
				then, err := crashMessage(d.ID+".then", queue)
				if err != nil {
					return err
				}
				settlements[i].Then = []stem.Message{then}
			}
		}
		errs, err := store.Broker.Settle(ctx, settlements...)
		if err != nil {
			return fmt.Errorf("settle: %w", err)
		}
		for i, s := range settlements {
			switch {
			case errors.Is(errs[i], stem.ErrLeaseLost):
			case errs[i] != nil:
				return fmt.Errorf("settle %s: %w", s.Receipt.ID, errs[i])
			case s.Kind == stem.Done || s.Kind == stem.Dead:
				fmt.Println(map[stem.Kind]string{stem.Done: "done", stem.Dead: "dead"}[s.Kind], s.Receipt.ID)
				for _, then := range s.Then {
					fmt.Println("accepted", then.ID)
				}
			}
		}
	}
}

func crashClaim(name string, n int) stem.Claim {
	return stem.Claim{Queues: []stem.QueueLimit{{Queue: queue}}, Max: n, Owner: name + "/crash", Lease: crashLease, Wait: crashLease}
}

// crashSettlement ends a claim as asked for, or as Done where a group must see it succeed.
func crashSettlement(d stem.Delivery, kind stem.Kind) (stem.Settlement, error) {
	h, err := stem.DecodeHeader(d.Envelope.Header)
	if err != nil {
		return stem.Settlement{}, err
	}
	s := stem.Settlement{Receipt: d.Receipt, Kind: kind, Reason: "crash test", At: time.Now().Add(5 * time.Millisecond)}
	if group := h.Canvas.GroupID; group != "" {
		s.Kind, s.Tally = stem.Done, &stem.Tally{Group: group, State: stem.Succeeded}
	}
	switch status := (stem.Status{Name: d.Name, Queue: d.Queue, State: stem.Succeeded, Result: []byte("of " + d.ID)}); s.Kind {
	case stem.Dead:
		status.State = stem.Failed
		fallthrough
	case stem.Done:
		s.Result = &stem.StatusWrite{Status: status}
	}
	return s, nil
}

// crashRecorder counts up in a record.
func crashRecorder(ctx context.Context, store stem.Store, _ *rand.Rand, name string) error {
	ref := stem.RecordRef{Kind: crashRecord, ID: name}
	for n := 1; ; n++ {
		w := stem.RecordWrite{Record: stem.Record{RecordRef: ref, Body: []byte(strconv.Itoa(n))}}
		if _, err := store.Records.Save(ctx, w); err != nil {
			return fmt.Errorf("save record: %w", err)
		}
		fmt.Println("saved", name, n)
	}
}
