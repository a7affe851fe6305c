package redis

import "slices"

// fixed are the keys of a namespace. A script calls each by its name in capitals and is given those that it names, in this order.
var fixed = [...]string{
	"meta", "bodies", "tasks", "recent", "results", "lapses", "seen", "holders", "kept", "dead", "deaths", "deadcount", "queues",
	watched, "groups", "groupdata", "members", "ebb", "records", "recordindex", "stale", "lapsing",
	"pages", "marks", "surplus", "batches", inboxesKey,
}

// perQueue are the keys of each queue: what the function is called by which a script has it, and how the key ends.
var perQueue = [...]struct{ function, suffix string }{
	{"ready", ":r"},   // zset: task by rank
	{"delayed", ":d"}, // zset: rank and task by due time
	{"leased", ":l"},  // zset: task by end of its lease
	{"late", ":x"},    // zset: ready tasks whose lease is over, by when that was seen
	{"bell", ":b"},    // zset: one member when somebody is to look
	{"inbox", ":i"},   // string: what is to be sorted into the queue
	{"offers", ":o"},  // zset: what of the inbox nobody has taken who waited, by priority and time
}

const (
	metaKey    = "meta"
	bodiesKey  = "bodies"
	resultsKey = "results"
	seenKey    = "seen"
	groupsKey  = "groups"
	queuesKey  = "queues"
	deadKey    = "dead"
	countKey   = "deadcount"
	recentKey  = "recent"
	groupData  = "groupdata"
	membersKey = "members"
	ebbKey     = "ebb"
	recordsKey = "records"
	watched    = "watched"
	pagesKey   = "pages"
	marksKey   = "marks"
	inboxesKey = "inboxes"

	offersSuffix = ":o"
)

// keys are the names of one namespace's keys.
type keys struct {
	prefix string
	fixed  map[string]string
}

func newKeys(namespace string) keys {
	k := keys{prefix: "{" + namespace + "}:", fixed: make(map[string]string, len(fixed))}
	for _, name := range fixed {
		k.fixed[name] = k.prefix + name
	}
	return k
}

func (k keys) key(name string) string { return k.prefix + name }

// limit is a key of the limiter. Its own name is what decides about its node; what is before the first brace is the namespace, which has
// none, so that no two of different namespaces are the same.
func (k keys) limit(key string) string { return k.prefix[1:len(k.prefix)-2] + "{l:" + key + "}" }

func (k keys) bell(queue string) string  { return k.prefix + "q:" + queue + ":b" }
func (k keys) inbox(queue string) string { return k.prefix + "q:" + queue + ":i" }
func (k keys) offers(queue string) string {
	return k.prefix + "q:" + queue + offersSuffix
}

// lanes collects the queues that a script may touch and numbers them from 1.
type lanes struct {
	keys  keys
	names []string
	at    map[string]int // nil while there are few
}

func (k keys) lanes(queues ...string) *lanes {
	l := &lanes{keys: k}
	for _, q := range queues {
		l.number(q)
	}
	return l
}

// fewLanes are found faster without a map.
const fewLanes = 8

func (l *lanes) number(queue string) int {
	if l.at == nil {
		if i := slices.Index(l.names, queue); i >= 0 {
			return i + 1
		}
	} else if n, ok := l.at[queue]; ok {
		return n
	}
	l.names = append(l.names, queue)
	switch n := len(l.names); {
	case l.at != nil:
		l.at[queue] = n
	case n > fewLanes:
		l.at = make(map[string]int, 2*n)
		for i, name := range l.names {
			l.at[name] = i + 1
		}
	}
	return len(l.names)
}

// of is KEYS of a script.
func (l *lanes) of(s *script) []string {
	out := make([]string, 0, len(s.fixed)+len(s.perQueue)*len(l.names))
	for _, name := range s.fixed {
		out = append(out, l.keys.fixed[name])
	}
	for _, q := range l.names {
		for _, suffix := range s.perQueue {
			out = append(out, l.keys.prefix+"q:"+q+suffix)
		}
	}
	return out
}
