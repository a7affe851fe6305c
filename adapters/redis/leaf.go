package redis

import (
	"cmp"
	"context"
	"strconv"
	"sync"

	"github.com/stemd/stem"
)

// sheet names a page. A server that was emptied begins with the same names again, at another time.
type sheet struct {
	pages         string // the key
	name, created int64
}

// leaf is the tasks of a page that one claim took.
type leaf struct {
	sheet
	from, n, of int // the number of the first, how many, and how many the page has
	claim       byte
}

// leafOf reads what lua/claim.lua says of one.
func (d *db) leafOf(value []any) leaf {
	n := func(i int) int64 { return value[i].(int64) }
	return leaf{sheet{d.keys.key(pagesKey), n(0), n(4)}, int(n(1)), int(n(2)), int(n(5)), byte(n(3))}
}

// read gives the pages of these leaves, but for those that the server has lost.
func (d *db) read(ctx context.Context, leaves []leaf) (map[sheet]string, error) {
	out := make(map[sheet]string, len(leaves))
	var missing []leaf
	var names []string
	for _, l := range leaves {
		if value, ok := d.shelf.get(l.sheet); ok {
			out[l.sheet] = value
		} else if _, asked := out[l.sheet]; !asked {
			out[l.sheet] = ""
			missing, names = append(missing, l), append(names, strconv.FormatInt(l.name, 10))
		}
	}
	if len(names) > 0 {
		values, err := d.client.HMGet(ctx, d.keys.key(pagesKey), names...).Result()
		if err != nil {
			return nil, err
		}
		for i, l := range missing {
			value, ok := values[i].(string)
			// Behind its messages there may be the beginning of another, see lua/inbox.lua.
			if delete(out, l.sheet); ok && l.end(value, l.of) >= 0 && l.end(value, l.of+1) < 0 {
				out[l.sheet] = value
			}
		}
	}
	for _, l := range leaves {
		if _, ok := out[l.sheet]; ok && l.from+l.n < l.of {
			d.shelf.keep(l.sheet, out[l.sheet])
		} else {
			d.shelf.drop(l.sheet)
		}
	}
	return out, nil
}

// torn is how many tasks of these leaves have lost their message: those whose page is not there though its marks are. Where both are gone the
// tasks have ended since, or are others' by now: who claimed them slept for longer than the lease.
func (d *db) torn(ctx context.Context, leaves []leaf, pages map[sheet]string) (n int64, err error) {
	for _, l := range leaves {
		if _, ok := pages[l.sheet]; ok {
			continue
		}
		marked, err := d.client.HExists(ctx, d.keys.key(marksKey), strconv.FormatInt(l.name, 10)).Result()
		if err != nil {
			return 0, err
		}
		if marked {
			n += int64(l.n)
		}
	}
	return n, nil
}

// end is where the first n messages of its page end; -1: the page is shorter than it says.
func (l leaf) end(page string, n int) int {
	r := &reader{s: page}
	for range n {
		_, _, _ = r.number(), r.name(), r.blob()
	}
	if r.err != nil {
		return -1
	}
	return len(page) - len(r.s)
}

// deliveries appends the tasks of a leaf; d has what is the same for all of them.
func (l leaf) deliveries(out []stem.Delivery, page string, d stem.Delivery, now int64) ([]stem.Delivery, error) {
	p := place{claimed: now, page: l.name, claim: l.claim, index: byte(l.from)}
	first, last := l.end(page, l.from), l.end(page, l.from+l.n)
	if first > last || last > len(page) {
		return nil, errShort
	}
	for items := (&reader{s: page[first:last]}); items.s != ""; p.index++ {
		created, id, given := items.number(), items.name(), items.blob()
		s, rest, err := decodeGiven(given, int64(d.Receipt.Epoch), cmp.Or(created, l.created))
		if err = cmp.Or(items.err, err); err == nil {
			d.Message, err = decodeMessage(s, rest)
		}
		if err != nil {
			return nil, err
		}
		p.name = d.Name
		d.Receipt.ID, d.Receipt.Queue, d.Receipt.Position = id, d.Queue, p.String()
		out = append(out, d)
	}
	return out, nil
}

// shelf keeps pages of which tasks are still to be claimed, as who claimed some will mostly claim the rest.
type shelf struct {
	mu    sync.Mutex
	pages map[sheet]string
	order []sheet
}

// shelfMax is how many pages a shelf keeps: some hundred kilobytes.
const shelfMax = 16

func (s *shelf) get(k sheet) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.pages[k]
	return v, ok
}

func (s *shelf) keep(k sheet, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.pages[k]; known {
		return
	}
	if s.pages == nil {
		s.pages = map[sheet]string{}
	}
	if s.order = append(s.order, k); len(s.order) > shelfMax {
		delete(s.pages, s.order[0])
		s.order = append(s.order[:0], s.order[1:]...)
	}
	s.pages[k] = value
}

func (s *shelf) drop(k sheet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pages, k)
}
