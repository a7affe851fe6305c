package env

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/stemd/stem/internal/proc"
)

// DevInfo says where a stemd -dev keeps its store, so that the command line finds it.
type DevInfo struct {
	URL       string `json:"url"`
	Namespace string `json:"namespace"`
	Node      string `json:"node"`
	Dir       string `json:"dir"`
	Pid       int    `json:"pid"`
	StartTime uint64 `json:"startTime"`
}

func devFile(get Lookup) string { return filepath.Join(RuntimeDir(get), "dev.json") }

// WriteDev announces this process's store. It refuses while another stemd -dev of this user runs. The announcement stays after
// the daemon's end: its store can still be looked at.
func WriteDev(get Lookup, info DevInfo) error {
	if old, running, err := ReadDev(get); err == nil && running && old.Pid != os.Getpid() {
		return fmt.Errorf("stemd -dev already runs (pid %d, data %s): stop it first, or set XDG_RUNTIME_DIR to run several", old.Pid, old.Dir)
	}
	var err error
	info.Pid = os.Getpid()
	if info.StartTime, err = proc.StartTime(info.Pid); err != nil {
		return err
	}
	b, err := json.Marshal(info)
	if err != nil {
		return err
	}
	dir := RuntimeDir(get)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := Private(dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "dev-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), devFile(get))
}

// ReadDev finds the last stemd -dev of this user and says whether it still runs. Without one the error is fs.ErrNotExist.
func ReadDev(get Lookup) (info DevInfo, running bool, err error) {
	if err := Private(RuntimeDir(get)); err != nil {
		return info, false, err
	}
	b, err := os.ReadFile(devFile(get))
	if err != nil {
		return info, false, err
	}
	if err := json.Unmarshal(b, &info); err != nil {
		return info, false, fmt.Errorf("%s: %w", devFile(get), err)
	}
	return info, proc.Alive(info.Pid, info.StartTime), nil
}

// Private refuses a directory that others could put things into: it must belong to this user and have mode 0700.
func Private(dir string) error {
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !st.IsDir() || st.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s is not a directory of yours alone: want mode 0700, found %s", dir, st.Mode().Perm())
	}
	if owner, ok := st.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, not to you (%d)", dir, owner.Uid, os.Geteuid())
	}
	return nil
}

// Store is where a store URL came from, for messages.
type Store struct {
	URL       string
	Namespace string
	Source    string // "--broker", "STEM_BROKER_URL", "stemd -dev (pid 42)"
}

// FindStore picks the store of producers and the command line: the flag, the environment, else the last stemd -dev of this user.
func FindStore(get Lookup, flag string) (Store, bool) {
	namespace := get(Namespace)
	switch {
	case flag != "":
		return Store{flag, namespace, "--broker"}, true
	case get(BrokerURL) != "":
		return Store{get(BrokerURL), namespace, BrokerURL}, true
	}
	info, running, err := ReadDev(get)
	if err != nil {
		return lastDev(get, namespace)
	}
	if namespace == "" {
		namespace = info.Namespace
	}
	source := fmt.Sprintf("stemd -dev, pid %d", info.Pid)
	if !running {
		source = "stemd -dev, not running now"
	}
	return Store{info.URL, namespace, source}, true
}

// lastDev is the default store of stemd -dev when nothing says where the last one was, after a reboot for instance.
func lastDev(get Lookup, namespace string) (Store, bool) {
	path := filepath.Join(DevDir(get), "stem.db")
	if _, err := os.Stat(path); err != nil {
		return Store{}, false
	}
	return Store{"sqlite://" + path, namespace, "stemd -dev, not running now"}, true
}
