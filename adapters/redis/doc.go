// Package redis is a store on a Redis 7 server: broker, results, records, groups, inspector and bus, for any number of processes on
// any number of hosts. A single server, one behind Sentinel, and a Cluster are the same to it. Only programs that want such a
// store import it.
//
// What changes more than one thing is done by Lua scripts, so a call is one round trip and a settlement is one transaction:
// acknowledgement, result, records, count and follow-ups are written together or not at all. All keys of a namespace begin with its name in braces, "{stem}:".
//
// In a Cluster that would put them on one node. There a namespace is many such stores, each under a tag of its own: "{stem{q:1f}:" for
// a part of the queues, "{stem{r:NN}:" for a part of the results, groups and records, "{stem{d:NN}:" for a part of what queues know of each other;
// adapters.Spread makes one store of them (layout.go, lane.go, shard.go). What is asked of many parts is asked in one round trip to each
// node. "{stem}:layout" says how a namespace lies.
//
// The keys:
//
//	bodies, tasks                hashes by task id: the message, written once; its state, written when it was claimed first, which is
//	                             short, and the same for all tasks of a claim, until something else happens to the task
//	q:<queue>:r d l x b          sorted sets: ready by rank, delayed by due time, claimed by end of lease, ready after an expired
//	                             lease, and the bell
//	q:<queue>:i                  the inbox, a string: messages that are still to be sorted into the queue
//	q:<queue>:o                  what of the inbox is offered to who waits, by priority and time
//	inboxes                      the queues in whose inboxes there may be something
//	pages, marks, surplus        messages that were published together, what happened to each, and how many tasks more than members
//	                             the sorted sets of queues have, as the tasks of a page, or of a claim of it, are one member
//	results, recent              statuses; everything known by its last update, but for what is claimed
//	batches                      the ids of results that were saved together, which are one member of recent
//	lapsing, lapses              when results expire: a list of entries, each of ids or names of batches, and those that are out of its order
//	seen, holders, kept          remembered ids; unique keys and until when they are reserved
//	dead, deaths, deadcount      dead letters, in the order of death, and how many each queue has
//	records, recordindex, stale  records, their lists in the order of version and due time, when they expire
//	groups, groupdata, members, ebb   groups: counts; members and callback; each member's end; when they expire
//	stem{l:KEY}                  strings: a key of the limiter; it expires by itself
//	queues, watched, meta        names of queues, ids that somebody watches, counters
//	waiter:<random>              a ring for one waiter alone, to send it home
//
// A task of a page is its entry in bodies and its part of the page, so a message costs the server one command's share of a few, and so does
// its claim; its end costs one for the entry and one for the result. As soon as anything else happens to it, it leaves its page and is
// a task by itself (lua/page.lua, lua/unpage.lua).
//
// For a task that is enqueued alone a script would cost more than the task. So it is appended to the inbox of its queue by plain commands, and
// sorted into the queue with others by whoever next puts something there or takes something out, by who looks for it, or by those who enqueue
// when the inbox is full (inbox.go, lua/inbox.lua). Nothing is asked about its id, so only a new one can come that way, and who repeats a
// call comes another.
//
// What comes alone into an empty inbox is also offered: who waits takes it out of the offers with the wait itself, and by that has claimed it,
// without a script. He books it a moment later, and before he settles it (offer.go, lua/book.lua). Until then whoever looks has it running
// by "?", for the default lease, after which it is delivered again should he have died just then.
//
// Sorted sets and not Redis Streams: a rank (priority, then arrival) gives strict priority in one command, a task that comes back
// takes its old place, each task has a lease of its own, and counts are exact. A stream can do none of these, and costs two round
// trips where this costs one.
//
// The time is the server's. Ids, queues and all else are only ever looked up by keys that a script declares. Who waits for work waits for
// the bell of its queues (BZPOPMIN), which carries nothing: a ring that is lost costs at most three seconds, in a spread namespace one,
// never a task. The claim that follows is sent together with the wait where a ring is what is to be expected, so a task reaches a waiter in
// one round trip. What is given to a waiter that went away is given back, and what is given to a host that lost its power is delivered
// again when the lease ends, as with any claim.
package redis
