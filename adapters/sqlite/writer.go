package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stemd/stem"
	lib "modernc.org/sqlite/lib"
)

const (
	// commitMax is the most requests in one transaction.
	commitMax = 512
	// lockRetry is the pause between tries to get the write lock; SQLite's own grows to 100 ms and has no queue.
	lockRetry = 100 * time.Microsecond
	// lockPatience is how long another process may hold it.
	lockPatience = 10 * time.Second
	// checkpointPages is how long the -wal file grows, in pages of 4 KiB, before its pages go into the database, which costs two fsyncs.
	checkpointPages = 4000
	// walLimit is how long it may be, in bytes. It begins anew only when all of it is in the database and nobody reads it, and among
	// busy processes that never happens by itself: whoever finds it longer makes it happen.
	walLimit = 32 << 20
	// walLook is how often that is looked at, walAgain how soon after a try that somebody held up.
	walLook  = 100 * time.Millisecond
	walAgain = 2 * time.Millisecond
	// walWait is how long readers are waited for when it is twice as long as it may be, with all writers waiting too, and walRest
	// the time until that is done again. Where many read, no moment comes without a reader that has to be waited for.
	walWait = 50 * time.Millisecond
	walRest = time.Second
)

// writer owns the one connection that writes. What arrives while a transaction is under way goes into the next one: the first
// request is never delayed, and a busy store commits hundreds at a time.
type writer struct {
	path      string
	pool      *sql.DB
	conn      *sql.Conn
	now       func() time.Time
	stmts     map[string]*sql.Stmt
	requests  chan *request
	between   chan func() // run on the connection between two transactions
	version   int64       // what PRAGMA data_version said last
	looked    time.Time   // at the length of the -wal file
	committed func(news)  // called after each commit that wrote something
	stop      context.CancelFunc
	stopped   chan struct{}
	closing   sync.RWMutex // held for reading while a request is handed over
	closed    bool
}

// request is one function to run in a transaction.
type request struct {
	fn    func(*tx) error
	news  news         // whom it concerns if it writes something
	state atomic.Int32 // see below
	done  chan error
}

const (
	waiting   = iota
	taken     // by the writer: it will be answered
	abandoned // by its caller, before the writer took it
)

// tx is a transaction under way.
type tx struct {
	w      *writer
	ctx    context.Context
	now    time.Time
	us     int64 // now in microseconds
	wrote  bool
	floor  stem.Epoch // highest epoch of the tasks that ended; 0: not read yet
	ended  stem.Epoch // highest of those that ended in this transaction
	ns     int64      // of ended
	commit []func()   // run after the commit
}

func newWriter(ctx context.Context, path string, pool *sql.DB, pragmas []string, now func() time.Time) (*writer, error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	w := &writer{
		path: path, pool: pool, conn: conn, now: now, stmts: map[string]*sql.Stmt{},
		requests: make(chan *request, commitMax), between: make(chan func()), stopped: make(chan struct{}), committed: func(news) {},
	}
	pragmas = append([]string{
		"auto_vacuum = incremental", "journal_mode = WAL", fmt.Sprintf("journal_size_limit = %d", walLimit), fmt.Sprintf("wal_autocheckpoint = %d", checkpointPages),
		"cache_size = -16384",
	}, pragmas...)
	for _, p := range pragmas {
		err := w.patiently(ctx, func() error { _, err := conn.ExecContext(ctx, "PRAGMA "+p); return err })
		if err != nil {
			return nil, errors.Join(fmt.Errorf("pragma %s: %w", p, err), conn.Close())
		}
	}
	runCtx, stop := context.WithCancel(context.Background())
	w.stop = stop
	go w.run(runCtx)
	return w, nil
}

// do runs fn in a transaction, with others. When ctx ends before its turn fn does not run; once it runs, do waits for the end.
func (w *writer) do(ctx context.Context, concerns news, fn func(*tx) error) error {
	r := &request{fn: fn, news: concerns, done: make(chan error, 1)}
	w.closing.RLock()
	if w.closed {
		w.closing.RUnlock()
		return stem.ErrClosed
	}
	select {
	case w.requests <- r:
		w.closing.RUnlock()
	case <-ctx.Done():
		w.closing.RUnlock()
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		if r.state.CompareAndSwap(waiting, abandoned) {
			return ctx.Err()
		}
		return <-r.done
	}
}

func (w *writer) run(ctx context.Context) {
	defer close(w.stopped)
	var batch []*request
	for {
		batch = batch[:0]
		select {
		case r := <-w.requests:
			runtime.Gosched() // whoever was woken together with r comes along
			batch = w.gather(append(batch, r))
		case fn := <-w.between:
			fn()
			continue
		case <-ctx.Done():
			return
		}
		if len(batch) == 0 {
			continue
		}
		errs := w.transact(ctx, batch)
		for i, r := range batch {
			r.done <- explain(w.path, errs[i])
		}
		w.trim(ctx)
	}
}

// gather takes what waits, and leaves out what its caller gave up.
func (w *writer) gather(batch []*request) []*request {
	for len(batch) < commitMax {
		select {
		case r := <-w.requests:
			batch = append(batch, r)
			continue
		default:
		}
		break
	}
	kept := batch[:0]
	for _, r := range batch {
		if r.state.CompareAndSwap(waiting, taken) {
			kept = append(kept, r)
		}
	}
	return kept
}

// transact runs a batch in one transaction. When one fails, nothing of the batch was done, and each runs again by itself, so that
// a bad request harms nobody else.
func (w *writer) transact(ctx context.Context, batch []*request) []error {
	errs := make([]error, len(batch))
	failed := w.once(ctx, batch)
	if failed == nil {
		return errs
	}
	if len(batch) == 1 {
		errs[0] = failed
		return errs
	}
	for i := range batch {
		errs[i] = w.once(ctx, batch[i:i+1])
	}
	return errs
}

func (w *writer) once(ctx context.Context, batch []*request) error {
	// The statements run under a context that never ends: the driver then needs no goroutine per statement to interrupt them.
	run := context.Background()
	begin := w.stmt(run, "BEGIN IMMEDIATE")
	if begin.err != nil {
		return begin.err
	}
	if err := w.patiently(ctx, func() error { _, err := begin.stmt.ExecContext(run); return err }); err != nil {
		return err
	}
	now := w.now()
	t := &tx{w: w, ctx: run, now: now, us: now.UnixMicro()}
	var err error
	var told news
	for _, r := range batch {
		t.wrote = false
		if err = r.fn(t); err != nil {
			break
		}
		if t.wrote {
			told |= r.news
		}
	}
	if err == nil && t.ended > 0 {
		err = t.exec("UPDATE namespaces SET epoch = max(epoch, ?) WHERE id = ?", int64(t.ended), t.ns)
	}
	if err == nil {
		err = t.exec("COMMIT")
	}
	if err != nil {
		if _, rollback := w.conn.ExecContext(run, "ROLLBACK"); rollback != nil && !isCode(err, lib.SQLITE_FULL) && !isCode(err, lib.SQLITE_IOERR) {
			err = errors.Join(err, rollback) // after those two SQLite may have rolled back by itself
		}
		return err
	}
	for _, fn := range t.commit {
		fn()
	}
	if told != 0 {
		w.committed(told)
	}
	return nil
}

// aside runs fn on the writer's connection outside any transaction; false: the writer has stopped.
func (w *writer) aside(fn func()) bool {
	done := make(chan struct{})
	select {
	case w.between <- func() { defer close(done); fn() }:
		<-done
		return true
	case <-w.stopped:
		return false
	}
}

// foreign says whether another process has committed since it was asked last; our own commits do not count.
func (w *writer) foreign() (changed bool) {
	w.aside(func() {
		s := w.stmt(context.Background(), "PRAGMA data_version")
		before, err := w.version, s.err
		if err == nil {
			err = s.stmt.QueryRow().Scan(&w.version)
		}
		changed = err != nil || w.version != before
	})
	return changed
}

// trim cuts the -wal file when it has grown too long. What keeps it from that is over soon: the next look tries again.
func (w *writer) trim(ctx context.Context) {
	now := time.Now()
	if now.Sub(w.looked) < walLook {
		return
	}
	w.looked = now
	st, err := os.Stat(w.path + "-wal")
	if err != nil || st.Size() <= walLimit {
		return
	}
	again := walAgain
	if st.Size() > 2*walLimit {
		again = walRest
		w.pragma(ctx, fmt.Sprintf("busy_timeout = %d", walWait.Milliseconds()))
		defer w.pragma(ctx, "busy_timeout = 0")
	}
	var held bool // by a reader
	var pages, moved int
	if err := w.conn.QueryRowContext(ctx, truncateLog).Scan(&held, &pages, &moved); err != nil || held {
		w.looked = time.Now().Add(again - walLook)
	}
}

// pragma sets what can not fail.
func (w *writer) pragma(ctx context.Context, set string) {
	_, _ = w.conn.ExecContext(ctx, "PRAGMA "+set)
}

const truncateLog = "PRAGMA wal_checkpoint(TRUNCATE)"

// checkpoint puts the log into the database and cuts it to nothing, unless a reader holds that up.
func (w *writer) checkpoint(ctx context.Context) error {
	err := stem.ErrClosed
	w.aside(func() { _, err = w.conn.ExecContext(ctx, truncateLog) })
	return explain(w.path, err)
}

// patiently repeats what fails because another process holds the lock.
func (w *writer) patiently(ctx context.Context, fn func() error) error {
	var deadline time.Time
	for {
		err := fn()
		if err == nil || !isCode(err, lib.SQLITE_BUSY) {
			return err
		}
		if deadline.IsZero() {
			deadline = time.Now().Add(lockPatience)
		} else if time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(lockRetry):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *writer) close() error {
	w.closing.Lock()
	if w.closed {
		w.closing.Unlock()
		return nil
	}
	w.closed = true
	w.closing.Unlock()
	// Whoever was handed over before is answered: drain in order, then stop.
	last := &request{fn: func(*tx) error { return nil }, done: make(chan error, 1)}
	w.requests <- last
	<-last.done
	w.stop()
	<-w.stopped
	for _, s := range w.stmts {
		_ = s.Close()
	}
	return errors.Join(w.conn.Close(), w.pool.Close())
}

type prepared struct {
	stmt *sql.Stmt
	err  error
}

func (w *writer) stmt(ctx context.Context, query string) prepared {
	if s, ok := w.stmts[query]; ok {
		return prepared{stmt: s}
	}
	s, err := w.conn.PrepareContext(ctx, query)
	if err == nil {
		w.stmts[query] = s
	}
	return prepared{s, err}
}

// exec runs a statement that is not counted.
func (tx *tx) exec(query string, args ...any) error {
	if len(args) == 0 && query != "COMMIT" {
		_, err := tx.w.conn.ExecContext(tx.ctx, query)
		return err
	}
	s := tx.w.stmt(tx.ctx, query)
	if s.err != nil {
		return s.err
	}
	_, err := s.stmt.ExecContext(tx.ctx, args...)
	return err
}

// change runs a statement and says how many rows it changed.
func (tx *tx) change(query string, args ...any) (int64, error) {
	s := tx.w.stmt(tx.ctx, query)
	if s.err != nil {
		return 0, s.err
	}
	r, err := s.stmt.ExecContext(tx.ctx, args...)
	if err != nil {
		return 0, err
	}
	n, err := r.RowsAffected()
	tx.wrote = tx.wrote || n > 0
	return n, err
}

func (tx *tx) row(query string, args ...any) *sql.Row {
	s := tx.w.stmt(tx.ctx, query)
	if s.err != nil {
		return tx.w.conn.QueryRowContext(tx.ctx, query, args...) // fails the same way, in the form of a row
	}
	return s.stmt.QueryRowContext(tx.ctx, args...)
}

func (tx *tx) rows(query string, args ...any) (*sql.Rows, error) {
	s := tx.w.stmt(tx.ctx, query)
	if s.err != nil {
		return nil, s.err
	}
	return s.stmt.QueryContext(tx.ctx, args...)
}

func (w *writer) isClosed() bool {
	w.closing.RLock()
	defer w.closing.RUnlock()
	return w.closed
}
