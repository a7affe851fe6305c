package adapters

import "github.com/stemd/stem"

// CheckVersions says whether all of writes, applied one after the other, meet the versions they demand: nil or stem.ErrConflict.
// present gives the version of a record now, 0 when there is none or it has expired; its error is the store's own failure.
func CheckVersions(writes []stem.RecordWrite, present func(stem.RecordRef) (int64, error)) (conflict, err error) {
	const absent, unknown = 0, -1 // what is certain of a version that an earlier write of the batch makes
	var written map[stem.RecordRef]int64
	for i, w := range writes {
		ref := w.Record.RecordRef
		version, again := written[ref]
		if !again {
			if version, err = present(ref); err != nil {
				return nil, err
			}
		}
		switch {
		case w.Op == stem.CreateRecord && version != absent,
			w.Op == stem.ReplaceRecord && (version == absent || version != w.IfVersion),
			w.Op == stem.DeleteRecord && w.IfVersion != 0 && version != w.IfVersion:
			return stem.ErrConflict, nil
		}
		if i == len(writes)-1 {
			break
		}
		if written == nil {
			written = map[stem.RecordRef]int64{}
		}
		written[ref] = unknown
		if w.Op == stem.DeleteRecord {
			written[ref] = absent
		}
	}
	return nil, nil
}
