// Package all is the one list of stores: it opens a store by the scheme of its URL.
package all

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters/memory"
	"github.com/stemd/stem/adapters/redis"
	"github.com/stemd/stem/adapters/sqlite"
)

// Opener opens a store of one kind.
type Opener func(ctx context.Context, url string, opts ...stem.StoreOption) (stem.Store, error)

// kind is what is known of a scheme.
type kind struct {
	open  Opener
	check func(url string) error // says of a URL that it can not work; nil: only open does
}

func kinds() map[string]kind {
	return map[string]kind{
		"memory":     {open: memory.Open},
		"sqlite":     {open: sqlite.Open},
		"redis":      {redis.Open, redis.Check},
		"rediss":     {redis.Open, redis.Check},
		"redis+unix": {redis.Open, redis.Check},
	}
}

// Schemes lists the known schemes by name.
func Schemes() []string { return slices.Sorted(maps.Keys(kinds())) }

// Check says whether a URL names a kind of store that is known, and reads as one of its URLs; nothing is opened.
func Check(rawURL string) error {
	scheme, _, ok := strings.Cut(rawURL, "://")
	if !ok {
		return fmt.Errorf("store URL %q has no scheme: want one of %s://…", Redact(rawURL), strings.Join(Schemes(), "://…, "))
	}
	k, known := kinds()[scheme]
	if !known {
		return fmt.Errorf("store URL %q: unknown scheme %q: known are %s", Redact(rawURL), scheme, strings.Join(Schemes(), ", "))
	}
	if k.check == nil {
		return nil
	}
	if err := k.check(rawURL); err != nil {
		return fmt.Errorf("store URL %q: %w", Redact(rawURL), err)
	}
	return nil
}

// Open opens the store of a URL such as sqlite:///var/lib/stem/stem.db.
func Open(ctx context.Context, rawURL string, opts ...stem.StoreOption) (stem.Store, error) {
	if err := Check(rawURL); err != nil {
		return stem.Store{}, err
	}
	scheme, _, _ := strings.Cut(rawURL, "://")
	return kinds()[scheme].open(ctx, rawURL, opts...)
}

const unreadable = "(unreadable store URL)"

// Redact is a store URL without its passwords, for people: that of the user and those of parameters such as sentinel_password. A URL
// that can not be read is hidden as a whole, and so is one of a server with an @ where none belongs: it may be the end of a password that
// was not escaped.
func Redact(rawURL string) string {
	if !strings.Contains(rawURL, "@") && !strings.Contains(rawURL, "password") {
		return rawURL
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return unreadable
	}
	values := u.Query()
	for name := range values {
		if strings.Contains(name, "password") {
			values.Set(name, "xxxxx")
			u.RawQuery = values.Encode()
		}
	}
	if u.Host != "" && (strings.Contains(u.Path+u.RawQuery, "@") || u.Fragment != "") {
		return unreadable
	}
	return u.Redacted()
}
