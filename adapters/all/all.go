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

func openers() map[string]Opener {
	return map[string]Opener{
		"memory":     memory.Open,
		"sqlite":     sqlite.Open,
		"redis":      redis.Open,
		"rediss":     redis.Open,
		"redis+unix": redis.Open,
	}
}

// Schemes lists the known schemes by name.
func Schemes() []string { return slices.Sorted(maps.Keys(openers())) }

// Check says whether a URL names a kind of store that is known; nothing is opened.
func Check(rawURL string) error {
	scheme, _, ok := strings.Cut(rawURL, "://")
	if !ok {
		return fmt.Errorf("store URL %q has no scheme: want one of %s://…", Redact(rawURL), strings.Join(Schemes(), "://…, "))
	}
	if openers()[scheme] == nil {
		return fmt.Errorf("store URL %q: unknown scheme %q: known are %s", Redact(rawURL), scheme, strings.Join(Schemes(), ", "))
	}
	return nil
}

// Open opens the store of a URL such as sqlite:///var/lib/stem/stem.db.
func Open(ctx context.Context, rawURL string, opts ...stem.StoreOption) (stem.Store, error) {
	if err := Check(rawURL); err != nil {
		return stem.Store{}, err
	}
	scheme, _, _ := strings.Cut(rawURL, "://")
	return openers()[scheme](ctx, rawURL, opts...)
}

// Redact is a store URL without its passwords, for people: that of the user and those of parameters such as sentinel_password. A URL
// that can not be read is hidden as a whole.
func Redact(rawURL string) string {
	if !strings.Contains(rawURL, "@") && !strings.Contains(rawURL, "password") {
		return rawURL
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return "(unreadable store URL)"
	}
	values := u.Query()
	for name := range values {
		if strings.Contains(name, "password") {
			values.Set(name, "xxxxx")
			u.RawQuery = values.Encode()
		}
	}
	return u.Redacted()
}
