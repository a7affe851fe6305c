package adapters

import "github.com/stemd/stem"

// Parts groups writes by Kind and Part, the units of atomicity, in the order in which they first appear. Each group is the
// indexes of its writes.
func Parts(writes []stem.RecordWrite) [][]int {
	type part struct{ kind, part string }
	var groups [][]int
	at := map[part]int{}
	for i, w := range writes {
		p := part{w.Record.Kind, w.Record.Part}
		n, known := at[p]
		if !known {
			n = len(groups)
			at[p] = n
			groups = append(groups, nil)
		}
		groups[n] = append(groups[n], i)
	}
	return groups
}
