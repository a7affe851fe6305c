package redis

import (
	"embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/redis/go-redis/v9"
)

//go:embed lua
var sources embed.FS

// putting are the files of scripts that put tasks into queues.
const putting = "short state page counters ring arrive mail bind inbox"

// parts are the files that each script is made of, between base.lua and its own.
var parts = map[string]string{
	"enqueue": "ring known new short state page counters arrive mail bind inbox", "one": "ring", "bulk": putting + " known",
	"publish": putting,
	"claim":   "ring short mail ahead lone state page unpage counters arrive bind inbox", "extend": "short state page unpage ring", "release": "short state page unpage ring",
	"done": "short ring lapse", "donepage": "short state page unpage ring lapse batch", "settle": "short state page unpage counters ring arrive mail bind inbox group record lapse result end",
	"replay": putting + " end", "letters": "", "purgedead": "short state end",
	"save": "short state page unpage ring lapse result", "load": "short state page", "stays": "short state page", "waiting": "short state page",
	"leaves": "short state page", "cancelpage": "short state page unpage counters ring lapse batch", "expire": "group",
	"opengroup": "group", "loadgroup": "group", "tally": "group", "fired": "group", "dissolve": "",
	"records": "counters record", "recordlist": "", "counts": "short state page mail", "running": "short state page", "leases": "short state page", "after": "short state page", "browse": "short state page mail",
	"maintain": "short state counters record end", "prune": "",
	"adopt": putting, "leave": "short state page unpage ring end", "level": "", "look": "",
	"sort": putting, "book": putting,
}

// ending are the scripts that a full server runs too: they end what is there, keep it from running twice, or make room, and without them it
// would stay full.
var ending = strings.Fields("claim book extend release sort done donepage settle save expire tally fired cancelpage adopt leave level maintain prune dissolve purgedead")

// coming are those by which something new comes: a full server refuses them. Of a script that does not say it refuses only the first write,
// and one that begins with taking something away it runs to its end. Those that only read say nothing either, as a replica runs no others.
var coming = strings.Fields("enqueue one bulk publish")

// onFull is the first line of a script that a full server runs, and unlessFull of one that it refuses.
const (
	onFull     = "#!lua flags=allow-oom\n"
	unlessFull = "#!lua\n"
)

// script is a Lua script and the keys that it uses: in the order of fixed, then for each queue in the order of perQueue.
type script struct {
	*redis.Script
	fixed, perQueue []string
}

// scripts are ready to run by name.
type scripts map[string]*script

// The scripts never change, so each of the two kinds is assembled once.
var (
	plainScripts   = sync.OnceValue(func() scripts { return newScripts("PUBLISH") })
	shardedScripts = sync.OnceValue(func() scripts { return newScripts("SPUBLISH") })
)

// source is a file, and the words in it, a function's with the parenthesis behind it.
type source struct {
	text  string
	words map[string]struct{}
}

func read(name string) source {
	b, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // it is part of the program
	}
	s := source{string(b), map[string]struct{}{}}
	for word := range strings.FieldsFuncSeq(strings.ReplaceAll(s.text, "(", "( "), func(r rune) bool {
		return r != '(' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		s.words[word] = struct{}{}
	}
	return s
}

// newScripts assembles the scripts. say is the command that sends a message to those who subscribed.
func newScripts(say string) scripts {
	known := map[string]source{}
	out := scripts{}
	for name, needs := range parts {
		text, used := "local SAY = '"+say+"'\n", map[string]struct{}{}
		for _, part := range append(append([]string{"base"}, strings.Fields(needs)...), name) {
			if _, again := known[part]; !again {
				known[part] = read(part)
			}
			text += known[part].text + "\n"
			maps.Copy(used, known[part].words)
		}
		s := &script{}
		text = s.declare(used) + text
		switch {
		case slices.Contains(ending, name):
			text = onFull + text
		case slices.Contains(coming, name):
			text = unlessFull + text
		}
		s.Script = redis.NewScript(text)
		out[name] = s
	}
	out["take"] = &script{Script: redis.NewScript(onFull + read("take").text)} // of a key by itself
	return out
}

// declare finds the keys among the words of a script and gives the lines that name them.
func (s *script) declare(used map[string]struct{}) string {
	uses := func(word string) bool { _, is := used[word]; return is }
	var lines strings.Builder
	for _, name := range fixed {
		if uses(strings.ToUpper(name)) {
			s.fixed = append(s.fixed, name)
			fmt.Fprintf(&lines, "local %s = KEYS[%d]\n", strings.ToUpper(name), len(s.fixed))
		}
	}
	var functions []string
	for _, key := range perQueue {
		if uses(key.function + "(") {
			s.perQueue, functions = append(s.perQueue, key.suffix), append(functions, key.function)
		}
	}
	for i, function := range functions {
		fmt.Fprintf(&lines, "local function %s(q) return KEYS[%d * q + %d] end\n", function, len(functions), len(s.fixed)-len(functions)+i+1)
	}
	return lines.String()
}
