// Package env is configuration without a file: the STEM_* variables of producers and the command line, and where a stemd -dev of
// this user keeps its things. It knows no HCL.
package env

import (
	"cmp"
	"os"
	"path/filepath"
	"strconv"

	"github.com/stemd/stem"
)

// Variables.
const (
	BrokerURL  = "STEM_BROKER_URL"
	ResultsURL = "STEM_RESULT_BACKEND_URL"
	Namespace  = "STEM_NAMESPACE"
	Node       = "STEM_WORKER_NODE"
	LogFormat  = "STEM_LOG_FORMAT"

	TLSCA       = "STEM_TLS_CA_CERT"
	TLSCert     = "STEM_TLS_CLIENT_CERT"
	TLSKey      = "STEM_TLS_CLIENT_KEY"
	TLSInsecure = "STEM_TLS_ALLOW_INSECURE"
)

// TLS is how the environment says that stores are reached over TLS. It fills in what given leaves open; a client certificate and its
// key come from one place.
func TLS(get Lookup, given stem.TLS) stem.TLS {
	given.CA = cmp.Or(given.CA, get(TLSCA))
	if given.Cert == "" && given.Key == "" {
		given.Cert, given.Key = get(TLSCert), get(TLSKey)
	}
	given.Insecure = given.Insecure || get(TLSInsecure) == "true" || get(TLSInsecure) == "1"
	return given
}

// Lookup reads a variable; os.Getenv is one.
type Lookup func(name string) string

// StateDir is where this user's data lives: $XDG_STATE_HOME/stem, else ~/.local/state/stem.
func StateDir(get Lookup) string {
	if dir := get("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "stem")
	}
	return filepath.Join(home(get), ".local", "state", "stem")
}

// RuntimeDir is where things live that end with the processes that made them: $XDG_RUNTIME_DIR/stem, else a directory of this
// user below the temporary one.
func RuntimeDir(get Lookup) string {
	if dir := get("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "stem")
	}
	return filepath.Join(cmp.Or(get("TMPDIR"), "/tmp"), "stem-"+strconv.Itoa(os.Getuid()))
}

// DevDir is the default data directory of stemd -dev.
func DevDir(get Lookup) string { return filepath.Join(StateDir(get), "dev") }

func home(get Lookup) string {
	if dir := get("HOME"); dir != "" {
		return dir
	}
	if dir, err := os.UserHomeDir(); err == nil {
		return dir
	}
	return "/"
}
