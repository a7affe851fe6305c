package redis

import (
	"context"
	"embed"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed lua
var sources embed.FS

// parts are the files that each script is made of; base.lua comes first in all of them.
var parts = map[string]string{
	"publish": "state arrive", "claim": "state", "extend": "state", "release": "state", "replay": "state arrive end",
	"settle": "state arrive group record result end", "save": "state result", "load": "state", "expire": "state group",
	"opengroup": "group", "loadgroup": "group", "tally": "group", "fired": "group", "dissolve": "", "records": "record", "recordlist": "",
	"counts": "state", "running": "", "leases": "", "after": "", "browse": "state", "letters": "", "purgedead": "end", "maintain": "record end", "prune": "",
}

// scripts are ready to run by name.
type scripts map[string]*redis.Script

// newScripts assembles the scripts. say is the command that sends a message to those who subscribed.
func newScripts(say string) scripts {
	read := func(name string) string {
		b, err := sources.ReadFile("lua/" + name + ".lua")
		if err != nil {
			panic(err) // it is part of the program
		}
		return string(b)
	}
	out := scripts{}
	for name, needs := range parts {
		src := []string{"local SAY = '" + say + "'\n" + read("base")}
		for _, part := range strings.Fields(needs) {
			if part == "end" && !strings.Contains(needs, "state") {
				src = append(src, read("state"))
			}
			src = append(src, read(part))
		}
		out[name] = redis.NewScript(strings.Join(append(src, read(name)), "\n"))
	}
	out["take"] = redis.NewScript(read("take")) // of a key by itself
	return out
}

// run runs a script. A server that does not know it, perhaps since a restart, is given it.
func (d *db) run(ctx context.Context, name string, keys []string, args ...any) *redis.Cmd {
	all := make([]any, 0, len(args)+1)
	return d.scripts[name].Run(ctx, d.client, keys, append(append(all, d.clock()), args...)...)
}
