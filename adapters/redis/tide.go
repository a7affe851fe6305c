package redis

import "sync/atomic"

// tide is the highest version that this process has met in any part of the records. Parts on different nodes count by different clocks;
// what a process writes is above what it knows of all the same. A nil tide does not rise.
type tide struct{ top atomic.Int64 }

func (t *tide) rise(version int64) {
	if t == nil {
		return
	}
	for {
		top := t.top.Load()
		if version <= top || t.top.CompareAndSwap(top, version) {
			return
		}
	}
}

func (t *tide) level() int64 {
	if t == nil {
		return 0
	}
	return t.top.Load()
}
