package worker

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestAnOutageOfSeveralErrorsIsOneLine(t *testing.T) {
	var out bytes.Buffer
	o := outage{log: hclog.New(&hclog.LoggerOptions{Output: &out}), what: "store"}
	o.failed(errors.Join(errors.New("no answer"), errors.New("deadline exceeded")), "claims stopped")
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "store: no answer; deadline exceeded; claims stopped") {
		t.Errorf("logged %q", got)
	}
}
