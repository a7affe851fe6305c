package sqlite

import (
	"embed"
	"fmt"
)

//go:embed schema
var schemas embed.FS

// schemaVersion is that of the last file in schema: N.sql brings a file from version N-1 to N. They are never edited.
const schemaVersion = 5

// migrate brings the schema up to date within the transaction, so of several processes that open a new file one does it.
func (tx *tx) migrate() error {
	var version int
	if err := tx.row("PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version > schemaVersion {
		return fmt.Errorf("schema %d is newer than this program's %d: upgrade it", version, schemaVersion)
	}
	for version++; version <= schemaVersion; version++ {
		statements, err := schemas.ReadFile(fmt.Sprintf("schema/%d.sql", version))
		if err != nil {
			return err
		}
		if err := tx.exec(string(statements)); err != nil {
			return fmt.Errorf("migrate to schema %d: %w", version, err)
		}
		if err := tx.exec(fmt.Sprintf("PRAGMA user_version = %d", version)); err != nil {
			return err
		}
	}
	return nil
}
