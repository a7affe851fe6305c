package stem

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Locks are exclusive claims on names that end by themselves. They are records, so they hold across processes on every store, on
// the store's clock. It is safe for concurrent use.
type Locks struct{ records Records }

// NewLocks uses the records of a store.
func NewLocks(records Records) *Locks { return &Locks{records} }

// Lock is a name that was acquired.
type Lock struct {
	Key, Owner string
	locks      *Locks
}

// Acquire takes key for ttl (≤ 0: DefaultLockTTL). ok is false when anybody holds it, also the same owner. An empty owner is
// replaced by a random one.
func (l *Locks) Acquire(ctx context.Context, key, owner string, ttl time.Duration) (lock Lock, ok bool, err error) {
	if err := CheckName("lock", key); err != nil {
		return Lock{}, false, err
	}
	if owner == "" {
		owner = NewID()
	}
	w := lockRecord(key, owner, ttl)
	w.Op = CreateRecord
	_, err = l.records.Save(ctx, w)
	if errors.Is(err, ErrConflict) {
		return Lock{}, false, nil
	}
	if err != nil {
		return Lock{}, false, fmt.Errorf("acquire lock %s: %w", key, err)
	}
	return Lock{Key: key, Owner: owner, locks: l}, true, nil
}

// Renew lets the lock end ttl from now. false: owner does not hold it.
func (l *Locks) Renew(ctx context.Context, key, owner string, ttl time.Duration) (bool, error) {
	w := lockRecord(key, owner, ttl)
	w.Op = ReplaceRecord
	return l.change(ctx, "renew", w)
}

// Release gives the lock up. false: owner does not hold it, and whoever does still does.
func (l *Locks) Release(ctx context.Context, key, owner string) (bool, error) {
	w := lockRecord(key, owner, 0)
	w.Op = DeleteRecord
	return l.change(ctx, "release", w)
}

// OwnerOf is who holds the lock; empty: nobody.
func (l *Locks) OwnerOf(ctx context.Context, key string) (string, error) {
	found, err := l.records.Load(ctx, RecordRef{Kind: KindLock, ID: key})
	if err != nil {
		return "", fmt.Errorf("owner of lock %s: %w", key, err)
	}
	if found[0] == nil {
		return "", nil
	}
	return string(found[0].Body), nil
}

// change applies w to the version at which its owner holds the lock.
func (l *Locks) change(ctx context.Context, what string, w RecordWrite) (bool, error) {
	found, err := l.records.Load(ctx, w.Record.RecordRef)
	if err != nil {
		return false, fmt.Errorf("%s lock %s: %w", what, w.Record.ID, err)
	}
	if found[0] == nil || string(found[0].Body) != string(w.Record.Body) {
		return false, nil
	}
	w.IfVersion = found[0].Version
	_, err = l.records.Save(ctx, w)
	if errors.Is(err, ErrConflict) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s lock %s: %w", what, w.Record.ID, err)
	}
	return true, nil
}

// Renew lets the lock end ttl from now. false: it is not held any more.
func (l Lock) Renew(ctx context.Context, ttl time.Duration) (bool, error) {
	return l.locks.Renew(ctx, l.Key, l.Owner, ttl)
}

// Release gives the lock up. false: it was not held any more.
func (l Lock) Release(ctx context.Context) (bool, error) {
	return l.locks.Release(ctx, l.Key, l.Owner)
}

func lockRecord(key, owner string, ttl time.Duration) RecordWrite {
	if ttl <= 0 {
		ttl = DefaultLockTTL
	}
	return RecordWrite{Record: Record{RecordRef: RecordRef{Kind: KindLock, ID: key}, Body: []byte(owner)}, TTL: ttl}
}
