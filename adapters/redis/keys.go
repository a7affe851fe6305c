package redis

// fixed are the keys that every script gets first, in the order of lua/base.lua.
var fixed = [...]string{
	"meta", "bodies", "tasks", "recent", "results", "lapses", "seen", "holders", "kept", "dead", "deaths", "deadcount", "queues",
	watched, "groups", "groupdata", "members", "ebb", "records", "recordindex", "stale", "lapsing",
}

const (
	bodiesKey  = "bodies"
	queuesKey  = "queues"
	deadKey    = "dead"
	deathsKey  = "deaths"
	countKey   = "deadcount"
	recentKey  = "recent"
	groupData  = "groupdata"
	membersKey = "members"
	ebbKey     = "ebb"
	recordsKey = "records"
	watched    = "watched"
)

// keys are the names of one namespace's keys.
type keys struct {
	prefix string
	fixed  []string
}

func newKeys(namespace string) keys {
	k := keys{prefix: "{" + namespace + "}:"}
	for _, name := range fixed {
		k.fixed = append(k.fixed, k.prefix+name)
	}
	return k
}

func (k keys) key(name string) string { return k.prefix + name }

// limit is a key of the limiter. Its own name is what decides about its node; what is before the first brace is the namespace, which has
// none, so that no two of different namespaces are the same.
func (k keys) limit(key string) string { return k.prefix[1:len(k.prefix)-2] + "{l:" + key + "}" }

// of a queue, see lua/base.lua.
func (k keys) ready(queue string) string   { return k.prefix + "q:" + queue + ":r" }
func (k keys) delayed(queue string) string { return k.prefix + "q:" + queue + ":d" }
func (k keys) leased(queue string) string  { return k.prefix + "q:" + queue + ":l" }
func (k keys) late(queue string) string    { return k.prefix + "q:" + queue + ":x" }
func (k keys) bell(queue string) string    { return k.prefix + "q:" + queue + ":b" }

// lanes collects the queues that a script may touch and numbers them from 1.
type lanes struct {
	keys  keys
	names []string
	at    map[string]int
}

func (k keys) lanes(queues ...string) *lanes {
	l := &lanes{keys: k}
	for _, q := range queues {
		l.number(q)
	}
	return l
}

func (l *lanes) number(queue string) int {
	if n, ok := l.at[queue]; ok {
		return n
	}
	if l.at == nil {
		l.at = map[string]int{}
	}
	l.names = append(l.names, queue)
	l.at[queue] = len(l.names)
	return len(l.names)
}

// all is KEYS.
func (l *lanes) all() []string {
	out := make([]string, 0, len(l.keys.fixed)+5*len(l.names))
	out = append(out, l.keys.fixed...)
	for _, q := range l.names {
		out = append(out, l.keys.ready(q), l.keys.delayed(q), l.keys.leased(q), l.keys.late(q), l.keys.bell(q))
	}
	return out
}
