// Package sqlite is a store in one SQLite file: broker, results, records, inspector and bus, for any number of processes on one
// host and a local disk.
//
// Each process writes through one goroutine that commits what has gathered while the last commit was under way. Reads use
// connections of their own. Processes wake each other by watching the directory for writes to the -wal file.
//
//	sqlite:///var/lib/stem/stem.db              durable against a killed process
//	sqlite:///var/lib/stem/stem.db?synchronous=full   also against a power cut
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/stemd/stem"
	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // registers the driver
)

// readers is how many reads may run at once.
const readers = 4

// db is one open file, seen by one namespace.
type db struct {
	path   string
	opts   stem.StoreOptions
	ns     int64
	writer *writer
	reads  *sql.DB
	stmts  *statements // of reads
	waker  *waker
	queues *queueIDs
	busy   busy
}

// Open opens or creates the file of a URL "sqlite:///absolute/path" or "sqlite://./relative/path" and brings its schema up to
// date. Parameters: synchronous=normal|full; max_page_count=N bounds the file's size, in pages.
func Open(ctx context.Context, rawURL string, opts ...stem.StoreOption) (stem.Store, error) {
	store, err := open(ctx, rawURL, stem.NewStoreOptions(opts...))
	if err != nil {
		return stem.Store{}, fmt.Errorf("sqlite: %w", err)
	}
	return store, nil
}

func open(ctx context.Context, rawURL string, opts stem.StoreOptions) (_ stem.Store, err error) {
	path, pragmas, err := parse(rawURL)
	if err != nil {
		return stem.Store{}, err
	}
	if err := stem.CheckName("namespace", opts.Namespace); err != nil {
		return stem.Store{}, err
	}
	warnings, err := checkPlace(path)
	if err != nil {
		return stem.Store{}, err
	}
	d := &db{path: path, opts: opts, queues: newQueueIDs()}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if opts.ReadOnly {
		if _, err := os.Stat(path); err != nil {
			return stem.Store{}, err
		}
	} else if err := d.startWriter(ctx, pragmas); err != nil {
		return stem.Store{}, err
	}
	if err := d.startReads(ctx); err != nil {
		return stem.Store{}, err
	}
	var foreign func() bool
	if d.writer != nil {
		foreign = d.writer.foreign
	}
	if d.waker, err = newWaker(path, foreign); err != nil {
		return stem.Store{}, err
	}
	if d.writer != nil {
		d.writer.committed = func(of news) {
			if of&ofTasks != 0 {
				d.busy.forget()
			}
			d.waker.ring(of)
		}
	}
	go d.waker.run()
	version, err := d.version(ctx)
	if err != nil {
		return stem.Store{}, err
	}
	return stem.Store{
		Broker: &broker{d}, Results: &results{d}, Records: &records{d}, Bus: &bus{d},
		Info: stem.StoreInfo{
			URL: "sqlite://" + path, Kind: "sqlite", Version: version, Namespace: opts.Namespace, Warnings: warnings, OneFile: true,
		},
		CloseFunc: d.close,
	}, nil
}

// parse splits a store URL into the file's path and pragmas.
func parse(rawURL string) (path string, pragmas []string, err error) {
	rest, ok := strings.CutPrefix(rawURL, "sqlite://")
	if !ok {
		return "", nil, fmt.Errorf("%q is not a sqlite:// URL", rawURL)
	}
	path, query, _ := strings.Cut(rest, "?")
	if path, err = url.PathUnescape(path); err != nil {
		return "", nil, err
	}
	if path == "" || strings.HasSuffix(path, "/") {
		return "", nil, fmt.Errorf("%q names no file: want sqlite:///path/to/stem.db", rawURL)
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", nil, err
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", nil, err
	}
	synchronous := "normal"
	for key := range values {
		value := values.Get(key)
		switch key {
		case "synchronous":
			synchronous = strings.ToLower(value)
			if synchronous != "normal" && synchronous != "full" {
				return "", nil, fmt.Errorf("parameter synchronous is %q, want normal or full", value)
			}
		case "max_page_count":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 {
				return "", nil, fmt.Errorf("parameter max_page_count is %q, want a positive number", value)
			}
			pragmas = append(pragmas, "max_page_count = "+value)
		default:
			return "", nil, fmt.Errorf("unknown parameter %q: known are synchronous and max_page_count", key)
		}
	}
	return path, append(pragmas, "synchronous = "+synchronous), nil
}

func (d *db) startWriter(ctx context.Context, pragmas []string) error {
	if err := os.MkdirAll(filepath.Dir(d.path), 0o700); err != nil {
		return err
	}
	// Created by us, for the owner only; SQLite gives -wal and -shm the same mode.
	f, err := os.OpenFile(d.path, os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EROFS) {
		return fmt.Errorf("%s: %w: check the permissions of the file and its directory: %w", d.path, stem.ErrReadOnly, err)
	} else if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	conn, err := connect(d.path, "rw", 1)
	if err != nil {
		return explain(d.path, err)
	}
	d.writer, err = newWriter(ctx, d.path, conn, pragmas, d.opts.Now)
	if err != nil {
		return errors.Join(explain(d.path, err), conn.Close())
	}
	return d.writer.do(ctx, ofAll, func(tx *tx) error {
		if err := tx.migrate(); err != nil {
			return err
		}
		if err := tx.exec("INSERT OR IGNORE INTO namespaces (name) VALUES (?)", d.opts.Namespace); err != nil {
			return err
		}
		return tx.row("SELECT id FROM namespaces WHERE name = ?", d.opts.Namespace).Scan(&d.ns)
	})
}

func (d *db) startReads(ctx context.Context) error {
	reads, err := connect(d.path, "ro", readers)
	if err != nil {
		return explain(d.path, err)
	}
	d.reads, d.stmts = reads, newStatements(reads)
	if d.writer != nil {
		return nil
	}
	err = reads.QueryRowContext(ctx, "SELECT id FROM namespaces WHERE name = ?", d.opts.Namespace).Scan(&d.ns)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // nothing of this namespace: 0 matches no row
	}
	return explain(d.path, err)
}

// connect opens a pool of connections. Waiting for a lock is the caller's: SQLite's own waiting is unfair and stalls for seconds.
func connect(path, mode string, n int) (*sql.DB, error) {
	timeout := 0
	if mode == "ro" {
		timeout = int(lockPatience / time.Millisecond) // readers wait only for recovery of a crashed process's log
	}
	dsn := fmt.Sprintf("file:%s?mode=%s&_pragma=busy_timeout(%d)&_pragma=temp_store(memory)", (&url.URL{Path: path}).EscapedPath(), mode, timeout)
	conn, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	conn.SetMaxOpenConns(n)
	conn.SetMaxIdleConns(n)
	return conn, nil
}

func (d *db) version(ctx context.Context) (string, error) {
	var lib string
	var schema int
	if err := d.reads.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&lib); err != nil {
		return "", explain(d.path, err)
	}
	if err := d.reads.QueryRowContext(ctx, "PRAGMA user_version").Scan(&schema); err != nil {
		return "", explain(d.path, err)
	}
	return fmt.Sprintf("SQLite %s, schema %d of %d", lib, schema, schemaVersion), nil
}

func (d *db) close() error {
	var errs []error
	if d.waker != nil {
		errs = append(errs, d.waker.close())
	}
	if d.stmts != nil {
		d.stmts.close()
	}
	if d.reads != nil {
		errs = append(errs, d.reads.Close())
	}
	if d.writer != nil {
		errs = append(errs, d.writer.close())
	}
	return errors.Join(errs...)
}

func (d *db) now() int64 { return d.opts.Now().UnixMicro() }

// write runs fn in the writer's next transaction.
func (d *db) write(ctx context.Context, what string, fn func(*tx) error) error {
	return d.writeFor(ctx, what, ofAll, fn)
}

// writeFor is write for what concerns only some of those who wait.
func (d *db) writeFor(ctx context.Context, what string, concerns news, fn func(*tx) error) error {
	if d.writer == nil {
		return fmt.Errorf("sqlite: %s: %s: %w: it was opened for looking only", what, d.path, stem.ErrReadOnly)
	}
	if err := d.writer.do(ctx, concerns, fn); err != nil {
		return fmt.Errorf("sqlite: %s: %w", what, err)
	}
	return nil
}

func (d *db) readErr(what string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrConnDone) || strings.Contains(err.Error(), "database is closed") {
		err = stem.ErrClosed
	}
	return fmt.Errorf("sqlite: %s: %w", what, explain(d.path, err))
}
