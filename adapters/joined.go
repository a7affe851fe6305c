package adapters

import (
	"fmt"
	"regexp"
	"strings"
)

// Joined is errors.Join of what became of the parts of a store, but what several of them say is said once, with how many say so: a node that
// is away, is so in each of its parts. errors.Is and errors.As find what any of them wraps. What Joined gave is taken apart again, so that
// sums of sums say nothing twice either. It is nil when none is an error.
func Joined(errs ...error) error {
	var all several
	for _, err := range errs {
		if more, ok := err.(*several); ok { //nolint:errorlint // one that is wrapped says what it is about
			all.errs = append(all.errs, more.errs...)
		} else if err != nil {
			all.errs = append(all.errs, err)
		}
	}
	switch len(all.errs) {
	case 0:
		return nil
	case 1:
		return all.errs[0]
	}
	return &all
}

// several is more than one error.
type several struct{ errs []error }

// ownEnd is this end of a connection, as errors of the net package name it: no two connections have the same.
var ownEnd = regexp.MustCompile(`\S+->`)

// Error has a line for each that is said, in the order in which they come first.
func (s *several) Error() string {
	var lines []string
	at, times := map[string]int{}, []int{}
	for _, err := range s.errs {
		line := err.Error()
		key := ownEnd.ReplaceAllString(line, "")
		i, again := at[key]
		if !again {
			i = len(lines)
			at[key], lines, times = i, append(lines, line), append(times, 0)
		}
		times[i]++
	}
	for i, n := range times {
		if n > 1 {
			lines[i] += fmt.Sprintf(" (%d times)", n)
		}
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives them all, also those that say the same.
func (s *several) Unwrap() []error { return s.errs }
