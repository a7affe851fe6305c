package redis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// audit reads all keys of a namespace and says what in them is out of step.
type audit struct {
	*testing.T
	client *redis.Client
	prefix string
	faults []string

	bodies, tasks, pages, marks, results, batches, dead map[string]string
	recent                                              map[string]int64
	places                                              map[string][]string // of each live task: where it stands
	pageOf                                              map[string]*bound
}

// bound is a page as it lies on the server.
type bound struct {
	lane, base int64
	flags      byte
	ids        []string
	marks      string
	claims     map[byte]string // owners
}

// Audit is for tests: what is out of step in the keys that begin like this.
func Audit(t *testing.T, client *redis.Client, prefix string) []string {
	a := &audit{T: t, client: client, prefix: prefix, places: map[string][]string{}, pageOf: map[string]*bound{}}
	for name, into := range map[string]*map[string]string{
		"bodies": &a.bodies, "tasks": &a.tasks, "pages": &a.pages, "marks": &a.marks, "results": &a.results, "batches": &a.batches, "dead": &a.dead,
	} {
		*into = a.hash(name)
	}
	a.recent = a.zset("recent")
	a.readPages()
	a.queues()
	a.live()
	a.known()
	a.kept()
	a.rest()
	return a.faults
}

func (a *audit) fault(format string, args ...any) {
	a.faults = append(a.faults, fmt.Sprintf(format, args...))
}

func (a *audit) must(err error) {
	a.Helper()
	if err != nil {
		a.Fatal(err)
	}
}

func (a *audit) hash(name string) map[string]string {
	m, err := a.client.HGetAll(context.Background(), a.prefix+name).Result()
	a.must(err)
	return m
}

func (a *audit) zset(name string) map[string]int64 {
	all, err := a.client.ZRangeWithScores(context.Background(), a.prefix+name, 0, -1).Result()
	a.must(err)
	out := map[string]int64{}
	for _, z := range all {
		out[z.Member.(string)] = int64(z.Score)
	}
	return out
}

func (a *audit) readPages() {
	if !slices.Equal(slices.Sorted(maps.Keys(a.pages)), slices.Sorted(maps.Keys(a.marks))) {
		a.fault("pages %v, marks of %v", slices.Collect(maps.Keys(a.pages)), slices.Collect(maps.Keys(a.marks)))
	}
	for name, m := range a.marks {
		r := &reader{s: m}
		r.number()
		b := &bound{flags: r.byte(), lane: int64(r.byte()), claims: map[byte]string{}}
		n := r.short()
		b.marks = r.take(n)
		for r.s != "" && r.err == nil {
			claim := r.byte()
			r.number()
			r.number()
			b.claims[claim] = r.name()
		}
		a.must(r.err)
		arrival, err := strconv.ParseInt(name, 10, 64)
		a.must(err)
		b.base = b.lane<<49 + arrival
		items := &reader{s: a.pages[name]}
		for range n {
			items.number()
			b.ids = append(b.ids, items.name())
			items.blob()
		}
		a.must(items.err)
		a.pageOf[name] = b
		for i, id := range b.ids {
			if b.marks[i] != 255 && a.bodies[id] != name {
				a.fault("page %s has %s, whose body is %.20q", name, id, a.bodies[id])
			}
		}
	}
}

func (a *audit) queues() {
	ctx := context.Background()
	names, err := a.client.SMembers(ctx, a.prefix+"queues").Result()
	a.must(err)
	surplus, rest := a.hash("surplus"), map[string]string{}
	maps.Copy(rest, surplus)
	for keys := a.client.Scan(ctx, 0, a.prefix+"q:*", 1000).Iterator(); keys.Next(ctx); {
		name := strings.TrimPrefix(keys.Val(), a.prefix)
		queue, kind := name[2:len(name)-2], name[len(name)-1:]
		if kind == "i" {
			a.inbox(queue)
			continue
		}
		if kind == "o" {
			mail, err := a.client.Get(ctx, a.prefix+"q:"+queue+":i").Result()
			a.must(err)
			for item := range a.zset(name) {
				if !strings.Contains(mail, item) {
					a.fault("something is offered in %s that is not in its inbox", queue)
				}
			}
			continue
		}
		if !slices.Contains(names, queue) && kind != "b" {
			a.fault("%s is there and its queue is not known", name)
		}
		members, tasks := a.zset(name), 0
		for member, score := range members {
			switch kind {
			case "r", "l":
				tasks += a.stand(name, kind, member, score)
			case "d":
				a.places[member[17:]] = append(a.places[member[17:]], name)
			case "x":
				if _, ready := a.zset("q:" + queue + ":r")[member]; !ready {
					a.fault("%s is late and not ready in %s", member, queue)
				}
			}
		}
		if kind == "r" {
			n, err := a.client.Exists(ctx, a.prefix+"q:"+queue+":b").Result()
			a.must(err)
			if n == 0 {
				a.fault("%d are ready in %s and the bell is not rung", len(members), queue)
			}
		}
		if want := strconv.Itoa(tasks - len(members)); (kind == "r" || kind == "l") && want != "0" && surplus[keys.Val()] != want || surplus[keys.Val()] == "0" {
			a.fault("surplus of %s is %q, want %s", name, surplus[keys.Val()], want)
		} else if want != "0" {
			delete(rest, keys.Val())
		}
	}
	if len(rest) > 0 {
		a.fault("surplus of keys that have none: %v", rest)
	}
}

// inbox looks at what is to be sorted into a queue.
func (a *audit) inbox(queue string) {
	ctx := context.Background()
	mail, err := a.client.Get(ctx, a.prefix+"q:"+queue+":i").Result()
	a.must(err)
	told, err := a.client.Exists(ctx, a.prefix+"q:"+queue+":b", a.prefix+"q:"+queue+":o").Result()
	a.must(err)
	if told == 0 {
		a.fault("the inbox of %s has something, its bell is not rung and nothing is offered", queue)
	}
	noted, err := a.client.SIsMember(ctx, a.prefix+"inboxes", queue).Result()
	a.must(err)
	if !noted {
		a.fault("the inbox of %s has something and is not noted", queue)
	}
	for r := (&reader{s: mail}); r.s != ""; {
		_, id, _ := r.number(), r.name(), r.blob()
		a.must(r.err)
		if _, live := a.bodies[id]; live {
			a.fault("%s is in the inbox of %s and among the bodies", id, queue)
		}
	}
}

// stand notes the tasks of a member of a queue's key, and says how many.
func (a *audit) stand(key, kind, member string, score int64) int {
	if member[0] != 1 {
		a.places[member] = append(a.places[member], key)
		return 1
	}
	page, n, _ := strings.Cut(member[1:], ":")
	b, number := a.pageOf[page], 0
	number, err := strconv.Atoi(n)
	a.must(err)
	if b == nil {
		a.fault("%s has %q, which is no page", key, member)
		return 0
	}
	if kind == "r" {
		for i := score - b.base; i <= int64(number); i++ {
			if b.marks[i] != 0 {
				a.fault("%s has %q from %d, mark %d is %d", key, member, score-b.base, i, b.marks[i])
			}
			a.places[b.ids[i]] = append(a.places[b.ids[i]], key)
		}
		return number - int(score-b.base) + 1
	}
	tasks := 0
	for i, id := range b.ids {
		if b.marks[i] == byte(number) {
			a.places[id] = append(a.places[id], key)
			tasks++
		}
	}
	if _, known := b.claims[byte(number)]; tasks == 0 || !known {
		a.fault("%s has %q of %d tasks", key, member, tasks)
	}
	return tasks
}

func (a *audit) live() {
	for id, value := range a.bodies {
		if len(a.places[id]) != 1 {
			a.fault("%s stands in %v", id, a.places[id])
			continue
		}
		place, state, touched := a.places[id][0], a.tasks[id], a.tasks[id] != ""
		if len(value) < 24 {
			if touched {
				a.fault("%s of a page has a state", id)
			}
			if _, known := a.recent["\x01"+value+":0"]; !known {
				a.fault("page %s of %s is not among what is known", value, id)
			}
			continue
		}
		if _, known := a.recent[id]; !known {
			a.fault("%s is not among what is known", id)
		}
		owned := touched && state[17] == 255
		if touched && !owned {
			s, err := decodeState(state)
			a.must(err)
			owned = s.owner != ""
		}
		late := strings.HasSuffix(place, ":r") && a.zset(place[:len(place)-1] + "x")[id] > 0
		if claimed := strings.HasSuffix(place, ":l") || late; claimed != owned {
			a.fault("%s stands in %s, late %t, and has an owner: %t", id, place, late, owned)
		}
	}
	for id, where := range a.places {
		if _, there := a.bodies[id]; !there {
			a.fault("%s stands in %v and has no body", id, where)
		}
	}
	for id := range a.tasks {
		if _, there := a.bodies[id]; !there {
			a.fault("%s has a state and no body", id)
		}
	}
}

func (a *audit) known() {
	member := map[string]string{}
	for name, value := range a.batches {
		if a.recent[name] == 0 {
			a.fault("batch %q is not among what is known", name)
		}
		for id := range a.results {
			if strings.Contains(value[8:], id) {
				member[id] = name
			}
		}
	}
	for m := range a.recent {
		_, body := a.bodies[m]
		_, result := a.results[m]
		_, batch := a.batches[m]
		if m[0] == 1 {
			body = a.pageOf[m[1:len(m)-2]] != nil
		}
		if !body && !result && !batch {
			a.fault("%q is among what is known and is not there", m)
		}
	}
	for id, value := range a.results {
		r := &reader{s: value}
		r.number()
		updated := r.number()
		_, body := a.bodies[id]
		if own := a.recent[id] > 0; !own && !body && (member[id] == "" || a.recent[member[id]] != updated) {
			a.fault("the result of %s is not among what is known", id)
		}
	}
}

func (a *audit) kept() {
	until := map[string][]int64{}
	lapsing, err := a.client.LRange(context.Background(), a.prefix+"lapsing", 0, -1).Result()
	a.must(err)
	last := int64(0)
	for _, entry := range lapsing {
		till := float(entry)
		if till < last {
			a.fault("what expires is out of order")
		}
		last = till
		for id := range a.results {
			if strings.Contains(entry[8:], id) {
				until[id] = append(until[id], till)
			}
		}
		for name, value := range a.batches {
			if strings.Contains(entry[8:], name) {
				until[name] = append(until[name], till)
				for id := range a.results {
					if strings.Contains(value[8:], id) {
						until[id] = append(until[id], till)
					}
				}
			}
		}
	}
	for id, till := range a.zset("lapses") {
		until[id] = append(until[id], till)
		if value, batch := a.batches[id]; batch {
			for of := range a.results {
				if strings.Contains(value[8:], of) {
					until[of] = append(until[of], till)
				}
			}
		}
	}
	for name := range a.batches {
		if until[name] == nil {
			a.fault("batch %q never expires", name)
		}
	}
	for id, value := range a.results {
		r := &reader{s: value}
		r.number()
		r.number()
		if expires := r.number(); !slices.Contains(until[id], expires) {
			a.fault("the result of %s expires at %d, the entries are for %v", id, expires, until[id])
		}
	}
}

func (a *audit) rest() {
	holders, kept := a.hash("holders"), a.zset("kept")
	if !slices.Equal(slices.Sorted(maps.Keys(holders)), slices.Sorted(maps.Keys(kept))) {
		a.fault("holders %v, kept %v", holders, kept)
	}
	deaths, perQueue := a.zset("deaths"), map[string]int{}
	for id, value := range a.dead {
		l, err := decodeLetter(value)
		a.must(err)
		perQueue[l.Message.Queue]++
		if _, died := deaths[fmt.Sprintf("%016d", l.serial)+id]; !died {
			a.fault("dead letter %s has no death", id)
		}
	}
	if count := a.hash("deadcount"); len(deaths) != len(a.dead) || len(count) != len(perQueue) {
		a.fault("%d letters, %d deaths, counts %v, want %v", len(a.dead), len(deaths), count, perQueue)
	} else {
		for q, n := range perQueue {
			if count[q] != strconv.Itoa(n) {
				a.fault("count of dead letters of %s is %s, want %d", q, count[q], n)
			}
		}
	}
	records, stale, entries := a.hash("records"), a.zset("stale"), 0
	for field, value := range records {
		rec, err := decodeRecord(value)
		a.must(err)
		entries += 2 + len(rec.Tags)
		if !rec.Due.IsZero() {
			entries++
		}
		if _, is := stale[field]; is != !rec.Expires.IsZero() {
			a.fault("record %q: expires %v, noted %t", field, rec.Expires, is)
		}
	}
	if n := len(a.zset("recordindex")); n != entries {
		a.fault("%d entries of %d records, want %d", n, len(records), entries)
	}
	ebb := a.zset("ebb")
	for id, value := range a.hash("groups") {
		r := &reader{s: value}
		if _, noted := ebb[r.name()+id]; !noted {
			a.fault("group %s never expires", id)
		}
	}
	for field := range a.hash("groupdata") {
		if _, noted := ebb[field[1:]]; !noted {
			a.fault("data %s of no group", field)
		}
	}
	for field := range a.hash("members") {
		length, after, _ := strings.Cut(field[generationSize:], ":")
		n, err := strconv.Atoi(length)
		a.must(err)
		if _, noted := ebb[field[:generationSize]+after[:n]]; !noted {
			a.fault("member %s of no group", field)
		}
	}
}
