package redis

import (
	"slices"
	"strings"
	"testing"
)

func TestAURLNamesHostsDatabaseAndMode(t *testing.T) {
	for raw, want := range map[string]struct {
		addrs   []string
		db      int
		master  string
		cluster bool
		spread  bool
		tls     bool
	}{
		"redis://localhost":                          {addrs: []string{"localhost:6379"}},
		"redis://":                                   {addrs: []string{"localhost:6379"}},
		"redis://u:p%40ss@h:7000/3":                  {addrs: []string{"h:7000"}, db: 3},
		"redis://[::1]:7000":                         {addrs: []string{"[::1]:7000"}},
		"rediss://h":                                 {addrs: []string{"h:6379"}, tls: true},
		"redis+unix:///run/redis.sock?db=2":          {addrs: []string{"/run/redis.sock"}, db: 2},
		"redis+unix://u:p@/run/me@home.sock":         {addrs: []string{"/run/me@home.sock"}},
		"redis://u:p@h?sentinel_password=a@b":        {addrs: []string{"h:6379"}},
		"redis://h1:1,h2:2,h3/?cluster=true":         {addrs: []string{"h1:1", "h2:2", "h3:6379"}, cluster: true, spread: true},
		"redis://h?cluster=true&spread=off":          {addrs: []string{"h:6379"}, cluster: true},
		"redis://h?cluster=true&spread=on":           {addrs: []string{"h:6379"}, cluster: true, spread: true},
		"redis://u:p@h1:26379,h2/1?master=m&pool=40": {addrs: []string{"h1:26379", "h2:6379"}, db: 1, master: "m"},
	} {
		got, err := parse(raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		o := got.options
		if !slices.Equal(o.Addrs, want.addrs) || o.DB != want.db || o.MasterName != want.master || got.cluster != want.cluster || got.spread != want.spread || (o.TLSConfig != nil) != want.tls {
			t.Errorf("%s gave %v, database %d, master %q, cluster %t", raw, o.Addrs, o.DB, o.MasterName, got.cluster)
		}
	}
}

func TestAURLThatCanNotWorkIsRefusedWithoutItsPassword(t *testing.T) {
	for _, raw := range []string{
		"redis:secret", "http://u:secret@h", "redis://u:secret@h/x", "redis://u:secret@h/-1", "redis://u:secret@h1,h2", "redis://u:secret@h?unknown=1",
		"redis://u:secret@h/1?cluster=true", "redis://u:se%zzcret@h", "redis://u:secret@h?cluster=perhaps",
		"redis://u:secret@h?cluster=true&spread=much", "redis://u:secret@h?spread=off", "redis://u:secret@h?pool=0", "redis://u:secret@h?db=-1",
		"redis://u:p/secret@h/0", "redis://u:1/secret@h/0", "redis://u:p?secret@h/0", "redis://u:p?secret=a@h/0", "redis://u:p#secret@h/0",
		"redis://u:p@q/secret@h/0", "redis://u:p@q?secret@h/0", "redis://u:p@q?secret=a@h/0",
		"redis://u:p@q?pool=secret@h/0", "redis://u:p@q?secret=1;2@h/0", "redis://u:p@q?sentinel_user=1&secret=2@h/0", "redis://u:p@q?sentinel_secret@h=1", "redis+unix://u:p/secret@/run/redis.sock",
	} {
		_, err := parse(raw)
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "%zz") {
			t.Errorf("%s gave %v", raw, err)
		}
	}
}

func TestAParameterThatIsWrongSaysWhatItMayBe(t *testing.T) {
	for raw, want := range map[string]string{
		"redis://h?cluster=true&spread=no": `parameter spread is "no": want on or off`,
		"redis://h?cluster=on":             `parameter cluster is "on": want true or false`,
		"redis://h?wait_replicas=-1":       `parameter wait_replicas is "-1": want a number from 0`,
		"redis://h?clutser=true":           `unknown parameter "clutser": known are cluster,`,
		"redis://h/zero":                   "must be a number from 0",
	} {
		if err := Check(raw); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gave %v, want %q", raw, err, want)
		}
	}
}

func TestWhatIsShownOfAURLHoldsNoPassword(t *testing.T) {
	got, err := parse("redis://user:secret@h1,h2/0?master=m&sentinel_user=s&sentinel_password=secret2")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got.shown, "secret") || !strings.Contains(got.shown, "user@h1,h2") {
		t.Errorf("shown is %s", got.shown)
	}
}
