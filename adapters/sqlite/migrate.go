package sqlite

import (
	_ "embed"
	"fmt"
)

//go:embed schema.sql
var schema string

// migrations bring a file from version i to i+1, in order.
var migrations = [...]string{schema}

const schemaVersion = len(migrations)

// migrate brings the schema up to date within the transaction, so of several processes that open a new file one does it.
func (tx *tx) migrate() error {
	var version int
	if err := tx.row("PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version > schemaVersion {
		return fmt.Errorf("schema %d is newer than this program's %d: upgrade it", version, schemaVersion)
	}
	for ; version < schemaVersion; version++ {
		if err := tx.exec(migrations[version]); err != nil {
			return fmt.Errorf("migrate to schema %d: %w", version+1, err)
		}
		if err := tx.exec(fmt.Sprintf("PRAGMA user_version = %d", version+1)); err != nil {
			return err
		}
	}
	return nil
}
