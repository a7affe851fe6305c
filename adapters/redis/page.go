package redis

import "github.com/stemd/stem"

const (
	// pageMin is how many messages a page has at least: fewer are cheaper each by itself.
	pageMin = 8
	// pageMax is how many it has at most.
	pageMax = 128
	// pageBytes is the size, in bytes, after which a page takes no more, as who claims one of its tasks reads it whole.
	pageBytes = 16 << 10
	// pagedBytes is the size of a message above which it is by itself.
	pagedBytes = 4 << 10
)

// lot is what the messages of a page have in common.
type lot struct {
	queue    string
	priority int
}

// paginate sorts plain messages into pages, see lua/page.lua, each in the order of the messages; rest are the others. Messages of one queue
// and one priority are all in pages or all in rest, so they stay in their order.
func (d *db) paginate(msgs []stem.Message, at []int) (pages [][]int, rest []int) {
	lots, whole := map[lot][]int{}, true
	var order []lot
	for _, n := range at {
		m := &msgs[n]
		l := lot{m.Queue, m.Priority}
		if lots[l] == nil {
			order = append(order, l)
		}
		lots[l] = append(lots[l], n)
		whole = whole && m.GeneratedID && m.Lease == 0 && sizeOf(m) <= pagedBytes
	}
	for _, l := range order {
		lot := lots[l]
		if len(lot) < d.pageMin || !whole && !alike(msgs, lot) {
			rest = append(rest, lot...)
			continue
		}
		begin, size := 0, 0
		for i, n := range lot {
			if size += sizeOf(&msgs[n]); i+1-begin == pageMax || size >= pageBytes {
				pages = append(pages, lot[begin:i+1])
				begin, size = i+1, 0
			}
		}
		if begin < len(lot) {
			pages = append(pages, lot[begin:])
		}
	}
	return pages, rest
}

func sizeOf(m *stem.Message) int { return len(m.Envelope.Header) + len(m.Envelope.Body) }

// alike says whether messages of one queue and priority may share pages.
func alike(msgs []stem.Message, lot []int) bool {
	for _, n := range lot {
		if m := &msgs[n]; m.GeneratedID != msgs[lot[0]].GeneratedID || m.Lease != 0 || sizeOf(m) > pagedBytes {
			return false
		}
	}
	return true
}

// bulkCall makes a call of lua/bulk.lua.
func (d *db) bulkCall(msgs []stem.Message, pages [][]int) (*call, error) {
	n := 0
	for _, page := range pages {
		n += len(page)
	}
	c := &call{script: "bulk", lanes: d.keys.lanes(), msgs: make([]int, 0, n), args: make([]any, 1, 1+3*len(pages)+n)}
	c.args[0] = d.clock()
	for _, page := range pages {
		first := &msgs[page[0]]
		var flags byte
		if !first.GeneratedID {
			flags = flagChosen
		}
		head := append(short(nil, c.lanes.number(first.Queue)), flags, byte(stem.MaxPriority-first.Priority))
		value, err := encodePage(msgs, page, c.lanes.number(first.Queue))
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, short(head, len(page)), first.Queue, value)
		for _, n := range page {
			c.args = append(c.args, msgs[n].ID)
		}
		c.msgs = append(c.msgs, page...)
	}
	return c, nil
}

// encodePage writes the messages of a page, whose time is the page's.
func encodePage(msgs []stem.Message, page []int, queue int) (value []byte, err error) {
	size := 0
	for _, n := range page {
		size += sizeOf(&msgs[n]) + 256
	}
	value = make([]byte, 0, size)
	for _, n := range page {
		if value, err = appendItem(value, 0, &msgs[n], queue); err != nil {
			return nil, err
		}
	}
	return value, nil
}

// appendItem appends a time, id, length, and what encodeMessage gives.
func appendItem(value []byte, time int64, m *stem.Message, queue int) ([]byte, error) {
	value = append(name(number(value, time), m.ID), 0, 0, 0, 0)
	begin := len(value)
	value, err := appendMessage(value, m, queue)
	if err == nil {
		order.PutUint32(value[begin-4:], uint32(len(value)-begin))
	}
	return value, err
}
