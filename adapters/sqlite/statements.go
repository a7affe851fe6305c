package sqlite

import (
	"context"
	"database/sql"
	"sync"
)

// statements keeps the prepared statements of the read connections.
type statements struct {
	pool *sql.DB
	mu   sync.Mutex
	all  map[string]*sql.Stmt
}

func newStatements(pool *sql.DB) *statements {
	return &statements{pool: pool, all: map[string]*sql.Stmt{}}
}

func (s *statements) get(ctx context.Context, query string) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stmt, ok := s.all[query]; ok {
		return stmt, nil
	}
	stmt, err := s.pool.PrepareContext(ctx, query)
	if err == nil {
		s.all[query] = stmt
	}
	return stmt, err
}

func (s *statements) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stmt := range s.all {
		_ = stmt.Close()
	}
}

// scan reads every row of a query on the read connections.
func (d *db) scan(ctx context.Context, query string, each func(*sql.Rows) error, args ...any) error {
	stmt, err := d.stmts.get(ctx, query)
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	return drain(rows, each)
}

func drain(rows *sql.Rows, each func(*sql.Rows) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
