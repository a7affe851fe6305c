package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// records is the Records of a db.
type records struct{ *db }

var _ stem.Records = (*records)(nil)

const recordColumns = "kind, part, id, version, due, expires, updated, tags, body"

func scanRecord(rows *sql.Rows) (stem.Record, error) {
	var r stem.Record
	var due, expires, updated int64
	var tags string
	if err := rows.Scan(&r.Kind, &r.Part, &r.ID, &r.Version, &due, &expires, &updated, &tags, &r.Body); err != nil {
		return r, err
	}
	r.Due, r.Expires, r.Updated = at(due), at(expires), at(updated)
	if tags == "[]" {
		return r, nil
	}
	return r, json.Unmarshal([]byte(tags), &r.Tags)
}

// Load implements stem.Records.
func (r *records) Load(ctx context.Context, refs ...stem.RecordRef) ([]*stem.Record, error) {
	out := make([]*stem.Record, len(refs))
	for i, ref := range refs {
		err := r.scan(ctx, "SELECT "+recordColumns+" FROM records WHERE ns = ? AND kind = ? AND part = ? AND id = ? AND (expires = 0 OR expires > ?)",
			func(rows *sql.Rows) error {
				found, err := scanRecord(rows)
				out[i] = &found
				return err
			}, r.ns, ref.Kind, ref.Part, ref.ID, r.now())
		if err != nil {
			return nil, r.readErr("load records", err)
		}
	}
	return out, nil
}

// Save implements stem.Records. Each part is a transaction of its own.
func (r *records) Save(ctx context.Context, writes ...stem.RecordWrite) ([]int64, error) {
	for _, w := range writes {
		if err := adapters.CheckRecord(w.Record); err != nil {
			return nil, fmt.Errorf("sqlite: save records: %w", err)
		}
	}
	versions := make([]int64, len(writes))
	for _, part := range adapters.Parts(writes) {
		mine := make([]stem.RecordWrite, len(part))
		for i, at := range part {
			mine[i] = writes[at]
		}
		var conflict error
		var got []int64
		err := r.write(ctx, "save records", func(tx *tx) (err error) {
			if conflict, err = r.checkRecords(tx, mine); err == nil && conflict == nil {
				got, err = r.applyRecords(tx, mine)
			}
			return err
		})
		if err == nil && conflict != nil {
			err = fmt.Errorf("sqlite: save records: %w", conflict)
		}
		if err != nil {
			return versions, err
		}
		for i, v := range got {
			versions[part[i]] = v
		}
	}
	return versions, nil
}

// checkRecords says whether all of writes, applied one after the other, meet the versions they demand.
func (d *db) checkRecords(tx *tx, writes []stem.RecordWrite) (conflict, err error) {
	return adapters.CheckVersions(writes, func(ref stem.RecordRef) (version int64, err error) {
		err = tx.row("SELECT version FROM records WHERE ns = ? AND kind = ? AND part = ? AND id = ? AND (expires = 0 OR expires > ?)",
			d.ns, ref.Kind, ref.Part, ref.ID, tx.us).Scan(&version)
		if errors.Is(err, sql.ErrNoRows) {
			return 0, nil
		}
		return version, err
	})
}

// applyRecords writes what checkRecords allowed and returns the new versions, 0 for a delete. Versions rise over the namespace, so
// none is used twice, also after a delete.
func (d *db) applyRecords(tx *tx, writes []stem.RecordWrite) ([]int64, error) {
	versions := make([]int64, len(writes))
	for i, w := range writes {
		r := w.Record
		if w.Op == stem.DeleteRecord {
			_, err := tx.change("DELETE FROM records WHERE ns = ? AND kind = ? AND part = ? AND id = ?", d.ns, r.Kind, r.Part, r.ID)
			if err != nil {
				return nil, err
			}
			continue
		}
		tags := []byte("[]")
		if len(r.Tags) > 0 {
			var err error
			if tags, err = json.Marshal(r.Tags); err != nil {
				return nil, err
			}
		}
		if w.TTL > 0 {
			r.Expires = tx.now.Add(w.TTL)
		}
		err := tx.row("UPDATE namespaces SET version = max(version + 1, ?) WHERE id = ? RETURNING version", tx.us, d.ns).Scan(&versions[i])
		if err != nil {
			return nil, err
		}
		if _, err := tx.change("INSERT OR REPLACE INTO records (ns, "+recordColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			d.ns, r.Kind, r.Part, r.ID, versions[i], us(r.Due), us(r.Expires), tx.us, string(tags), r.Body); err != nil {
			return nil, err
		}
	}
	return versions, nil
}

// List implements stem.Records. The cursor is the version, or the due time and version, of the last item.
func (r *records) List(ctx context.Context, q stem.RecordQuery) (stem.RecordPage, error) {
	var page stem.RecordPage
	where, args := []string{"ns = ?", "kind = ?", "(expires = 0 OR expires > ?)"}, []any{r.ns, q.Kind, r.now()}
	add := func(condition string, values ...any) { where, args = append(where, condition), append(args, values...) }
	if q.Part != nil {
		add("part = ?", *q.Part)
	}
	if q.Tag != "" {
		add("EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)", q.Tag)
	}
	if q.AfterVersion > 0 {
		add("version > ?", q.AfterVersion)
	}
	by := "version"
	if !q.DueBefore.IsZero() {
		add("due > 0 AND due <= ?", us(q.DueBefore))
		by = "due, version"
	}
	if q.Cursor != "" {
		var due, version int64
		if _, err := fmt.Sscanf(q.Cursor, "%d.%d", &due, &version); err != nil {
			return page, r.readErr("list records", adapters.BadCursor(q.Cursor))
		}
		if by == "version" {
			add("version > ?", version)
		} else {
			add("(due, version) > (?, ?)", due, version)
		}
	}
	limit := adapters.RecordLimit(q.Limit)
	query := "SELECT " + recordColumns + " FROM records WHERE " + strings.Join(where, " AND ") + " ORDER BY " + by + " LIMIT ?"
	err := r.scan(ctx, query, func(rows *sql.Rows) error {
		record, err := scanRecord(rows)
		page.Items = append(page.Items, record)
		return err
	}, append(args, limit+1)...)
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		last := page.Items[limit-1]
		page.Next = fmt.Sprintf("%d.%d", us(last.Due), last.Version)
	}
	return page, r.readErr("list records", err)
}
