package adaptertest

import (
	"slices"

	"github.com/stemd/stem"
)

func lockCases() []testCase {
	return []testCase{
		{rule: "a lock is held by its owner until it is released", run: func(r *rig) {
			locks := stem.NewLocks(r.store.Records)
			lock := r.lock(locks, "a", true)
			if owner, err := locks.OwnerOf(r.ctx, "l"); owner != "a" || err != nil {
				r.Errorf("owner is %q, %v", owner, err)
			}
			r.lock(locks, "b", false)
			r.lock(locks, "a", false)
			r.yes(lock.Release(r.ctx))
			if owner, err := locks.OwnerOf(r.ctx, "l"); owner != "" || err != nil {
				r.Errorf("owner is %q, %v", owner, err)
			}
			r.no(lock.Release(r.ctx))
			r.lock(locks, "b", true)
		}},
		{rule: "another owner can neither release nor renew a lock", run: func(r *rig) {
			locks := stem.NewLocks(r.store.Records)
			r.lock(locks, "a", true)
			r.no(locks.Release(r.ctx, "l", "b"))
			r.no(locks.Renew(r.ctx, "l", "b", r.span))
			if owner, err := locks.OwnerOf(r.ctx, "l"); owner != "a" || err != nil {
				r.Errorf("owner is %q, %v", owner, err)
			}
		}},
		{rule: "after its time a lock is free, and its owner can not renew it", run: func(r *rig) {
			locks := stem.NewLocks(r.store.Records)
			old := r.lock(locks, "a", true)
			r.pass(r.span)
			r.no(old.Renew(r.ctx, r.span))
			r.lock(locks, "b", true)
			r.no(old.Release(r.ctx))
		}},
		{rule: "renewing extends a lock, through the lock or by its name", needs: settable, run: func(r *rig) {
			locks := stem.NewLocks(r.store.Records)
			lock := r.lock(locks, "a", true)
			for range 2 {
				r.pass(r.span / 2)
				r.yes(lock.Renew(r.ctx, r.span))
				r.pass(r.span / 2)
				r.yes(locks.Renew(r.ctx, "l", "a", r.span))
			}
			r.lock(locks, "b", false)
		}},
		{rule: "of concurrent owners one acquires a lock", run: func(r *rig) {
			locks := stem.NewLocks(r.store.Records)
			won := make(chan bool)
			for range 8 {
				go func() {
					_, ok, err := locks.Acquire(r.ctx, "l", "", r.span)
					won <- ok && err == nil
				}()
			}
			var outcomes []bool
			for range 8 {
				outcomes = append(outcomes, <-won)
			}
			outcomes = slices.DeleteFunc(outcomes, func(ok bool) bool { return !ok })
			if len(outcomes) != 1 {
				r.Errorf("%d acquired it", len(outcomes))
			}
		}},
	}
}

// lock acquires the lock "l", or must not.
func (r *rig) lock(locks *stem.Locks, owner string, want bool) stem.Lock {
	r.Helper()
	lock, ok, err := locks.Acquire(r.ctx, "l", owner, r.span)
	r.noError(err)
	if ok != want {
		r.Fatalf("%s acquired the lock: %t, want %t", owner, ok, want)
	}
	return lock
}

func (r *rig) yes(ok bool, err error) {
	r.Helper()
	if !ok || err != nil {
		r.Fatalf("got %t, %v", ok, err)
	}
}

func (r *rig) no(ok bool, err error) {
	r.Helper()
	if ok || err != nil {
		r.Fatalf("got %t, %v", ok, err)
	}
}
