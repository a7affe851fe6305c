package memory

import (
	"time"

	"github.com/stemd/stem"
)

// task is a live task. It is in exactly one place of its queue.
type task struct {
	msg   stem.Message
	entry *entry
	queue *queue
	seq   uint64 // arrival; kept over retry, hold, release and expiry
	place place
	index int // in the heap of its place

	owner string    // of the lease, also of an expired one that nobody took; empty: not claimed
	until time.Time // end of the lease
}

// place says where in its queue a task is.
type place int

const (
	arrived  place = iota // in a lane's line of arrival
	returned              // in a lane's heap of those that came back
	delayed               // hidden until due
	leased                // claimed
)

// queue holds the tasks of one name: lanes of ready ones by priority, those hidden and those claimed.
type queue struct {
	name    string
	lanes   [stem.MaxPriority + 1]lane
	ready   int
	delayed heap[*task] // by due time
	leased  heap[*task] // by end of the lease
	waiters map[*waiter]struct{}
}

// lane is the ready tasks of one priority, in order of arrival: a line for those that come for the first time, which are in
// order anyway, and a heap for those that come back to their place.
type lane struct {
	line     []*task
	head     int // of line
	returned heap[*task]
}

func bySeq(a, b *task) bool { return a.seq < b.seq }
func byDue(a, b *task) bool {
	da, db := a.msg.State.NotBefore, b.msg.State.NotBefore
	return da.Before(db) || da.Equal(db) && a.seq < b.seq
}
func byLease(a, b *task) bool  { return a.until.Before(b.until) }
func indexOfTask(t *task) *int { return &t.index }

func (c *core) queue(name string) *queue {
	q := c.queues[name]
	if q == nil {
		q = &queue{
			name: name, waiters: map[*waiter]struct{}{},
			delayed: heap[*task]{less: byDue, at: indexOfTask}, leased: heap[*task]{less: byLease, at: indexOfTask},
		}
		for i := range q.lanes {
			q.lanes[i].returned = heap[*task]{less: bySeq, at: indexOfTask}
		}
		c.queues[name] = q
	}
	return q
}

// arrive puts a task that has just got its sequence number into the queue.
func (q *queue) arrive(t *task, now time.Time) {
	t.queue, t.msg.Queue = q, q.name
	if t.msg.State.NotBefore.After(now) {
		t.place = delayed
		q.delayed.push(t)
	} else {
		l := &q.lanes[t.msg.Priority]
		if l.head > 0 && len(l.line) == cap(l.line) { // make room before growing
			n := copy(l.line, l.line[l.head:])
			clear(l.line[n:])
			l.line, l.head = l.line[:n], 0
		}
		t.place = arrived
		l.line = append(l.line, t)
		q.ready++
	}
	q.ring()
}

// comeBack puts a task of this queue back into its place, or hides it until it is due.
func (q *queue) comeBack(t *task, now time.Time) {
	if t.msg.State.NotBefore.After(now) {
		t.place = delayed
		q.delayed.push(t)
	} else {
		q.stepBack(t)
	}
	q.ring()
}

func (q *queue) stepBack(t *task) {
	t.place = returned
	q.lanes[t.msg.Priority].returned.push(t)
	q.ready++
}

// promote makes ready what is due and whose lease has expired. An expired task keeps its owner until somebody takes it.
func (q *queue) promote(now time.Time) {
	for q.delayed.len() > 0 && !q.delayed.top().msg.State.NotBefore.After(now) {
		q.stepBack(q.delayed.pop())
	}
	for q.leased.len() > 0 && !q.leased.top().until.After(now) {
		q.stepBack(q.leased.pop())
	}
}

// pop takes the next ready task; the queue must have one.
func (q *queue) pop() *task {
	for p := len(q.lanes) - 1; p >= 0; p-- {
		if l := &q.lanes[p]; l.next() != nil {
			q.ready--
			return l.pop()
		}
	}
	panic("memory: a queue's count of ready tasks is wrong")
}

// next is the first task of the lane, or nil.
func (l *lane) next() *task {
	waiting, back := l.head < len(l.line), l.returned.len() > 0
	switch {
	case back && (!waiting || l.returned.top().seq < l.line[l.head].seq):
		return l.returned.top()
	case waiting:
		return l.line[l.head]
	}
	return nil
}

// pop takes the first task of the lane; there must be one.
func (l *lane) pop() *task {
	t := l.next()
	if t.place == returned {
		return l.returned.pop()
	}
	l.line[l.head] = nil
	if l.head++; l.head == len(l.line) {
		l.line, l.head = l.line[:0], 0
	}
	return t
}

// leave takes a claimed task out of its place: leased, or back in its lane after the lease expired.
func (q *queue) leave(t *task) {
	if t.place == leased {
		q.leased.remove(t)
		return
	}
	q.lanes[t.msg.Priority].returned.remove(t)
	q.ready--
}

// change is when a task will become ready without anybody doing anything.
func (q *queue) change() (at time.Time, ok bool) {
	if q.delayed.len() > 0 {
		at, ok = q.delayed.top().msg.State.NotBefore, true
	}
	if q.leased.len() > 0 {
		if until := q.leased.top().until; !ok || until.Before(at) {
			at, ok = until, true
		}
	}
	return at, ok
}

// ring wakes the claims that wait at the queue.
func (q *queue) ring() {
	for w := range q.waiters {
		w.wake()
	}
}

// idle says whether the queue holds nothing and nobody waits, so that it may go.
func (q *queue) idle() bool {
	return q.ready == 0 && q.delayed.len() == 0 && q.leased.len() == 0 && len(q.waiters) == 0
}
