package worker

import (
	"io"
	"net"
	"regexp"
	"slices"
	"syscall"
	"time"
)

// reasons decides which errors of an outage are told: one for a reason that is new to it, and one for a reason told before that came back
// and has stayed. Reasons that take turns are told once each. The zero value has told nothing.
type reasons struct {
	told  map[string]bool // all there were
	shown map[string]bool // those of the error that was told last
	back  time.Time       // since when errors are for others than those shown; zero: they are for these
	which string          // and for which
}

const (
	// reasonStays is how long one told before is the only one until it is told again.
	reasonStays = time.Minute
	// reasonsMax is how many are told at once: an error whose text never repeats is no news.
	reasonsMax = 16
)

// tell says whether an error is to be told.
func (r *reasons) tell(err error, now time.Time) bool {
	of := map[string]bool{}
	reasonsOf(err, of)
	fresh, other := false, ""
	for one := range of {
		if !r.told[one] {
			fresh = fresh || len(r.told) < reasonsMax
		}
		if !r.shown[one] {
			other = max(other, one)
		}
	}
	switch {
	case other == "":
		r.back = time.Time{}
		return false
	case !fresh && (r.back.IsZero() || r.which != other):
		r.back, r.which = now, other
		return false
	case !fresh && now.Sub(r.back) < reasonStays:
		return false
	}
	if r.told == nil {
		r.told = map[string]bool{}
	}
	for one := range of {
		if len(r.told) < reasonsMax {
			r.told[one] = true
		}
	}
	r.shown, r.back = of, time.Time{}
	return true
}

// reasonsOf gathers what an error wraps at last: without what was being done and at which address, which are not why.
func reasonsOf(err error, into map[string]bool) {
	if late, ok := err.(interface{ Timeout() bool }); ok && late.Timeout() { //nolint:errorlint // each layer is looked at
		into["timeout"] = true // whoever's patience it was
		return
	}
	switch e := err.(type) { //nolint:errorlint // each layer is looked at
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			reasonsOf(one, into)
		}
		return
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			reasonsOf(inner, into)
			return
		}
	}
	if slices.Contains(breaks, err) {
		into["break"] = true
		return
	}
	into[withNumber.ReplaceAllString(err.Error(), "#")] = true
}

// breaks are how the end of a connection looks, by what was being done with it just then.
var breaks = []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE}

// withNumber is a word with a number in it: an address, a port, an id.
var withNumber = regexp.MustCompile(`\S*\d\S*`)
