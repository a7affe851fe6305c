package redis

import (
	"regexp"
	"strings"
	"testing"
)

// The parts of a script share one chunk, in which a name that is declared again hides the first from all that follows.
func TestNoPartOfAScriptHidesANameOfAnother(t *testing.T) {
	local := regexp.MustCompile(`(?m)^local (?:function )?([\w, ]+)`)
	for script, needs := range parts {
		by := map[string]string{}
		for _, part := range append(append([]string{"base"}, strings.Fields(needs)...), script) {
			for _, declared := range local.FindAllStringSubmatch(read(part).text, -1) {
				for name := range strings.SplitSeq(declared[1], ",") {
					name = strings.TrimSpace(name)
					if other, known := by[name]; known && name != "_" {
						t.Errorf("%s: %s.lua and %s.lua both declare %s", script, other, part, name)
					}
					by[name] = part
				}
			}
		}
	}
}
