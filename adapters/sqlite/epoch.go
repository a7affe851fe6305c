package sqlite

import "github.com/stemd/stem"

// The highest epoch of all tasks that ended is kept, so that the next life of an id starts above its last one though nothing else
// of it may be left and the clock may have gone back.

// end notes the epoch of a task that leaves for good.
func (tx *tx) end(ns int64, e stem.Epoch) { tx.ns, tx.ended = ns, max(tx.ended, e) }

// epochFloor is what every claim of a task published now must be above.
func (tx *tx) epochFloor(ns int64) (stem.Epoch, error) {
	if tx.floor == 0 {
		if err := tx.row("SELECT epoch FROM namespaces WHERE id = ?", ns).Scan(&tx.floor); err != nil {
			return 0, err
		}
	}
	return max(tx.floor, tx.ended), nil
}
