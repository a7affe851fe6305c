package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/stemd/stem/adapters/all"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// ParseDuration reads "30s", "1h30m", "500ms" and whole days, "7d".
func ParseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 100_000 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("duration %q: want a number with a unit, such as \"30s\", \"5m\", \"24h\" or \"7d\"", s)
	}
	return d, nil
}

// store reads the URL of a store.
func (b *block) store(name string, dst *string) {
	if a := b.text(name, dst); a != nil {
		if err := all.Check(*dst); err != nil {
			b.wrong(a, "%v", err)
		}
	}
}

// duration reads a duration of more than 0.
func (b *block) duration(name string, dst *time.Duration) {
	a, v := b.attr(name)
	if a == nil {
		return
	}
	if v.Type() != cty.String || v.IsNull() {
		b.wrong(a, "want a duration in quotes, such as \"30s\"")
		return
	}
	d, err := ParseDuration(v.AsString())
	switch {
	case err != nil:
		b.wrong(a, "%v", err)
	case d == 0:
		b.wrong(a, "want more than 0")
	default:
		*dst = d
	}
}

// size reads a number of bytes of more than 0.
func (b *block) size(name string, dst *int) {
	a, v := b.attr(name)
	if a == nil {
		return
	}
	var n uint64
	err := errors.New("want a size in quotes, such as \"256MiB\"")
	if v.Type() == cty.String && !v.IsNull() {
		if n, err = humanize.ParseBytes(v.AsString()); err != nil {
			err = fmt.Errorf("size %q: want a number with a unit, such as \"256MiB\"", v.AsString())
		}
	}
	if err == nil && (n == 0 || n > 1<<40) {
		err = errors.New("want more than 0 and at most 1 TiB")
	}
	if err != nil {
		b.wrong(a, "%v", err)
		return
	}
	*dst = int(n)
}

// functions are what expressions may call: env("NAME") and file("path"), the path relative to the file that says it.
func (l *loader) functions(file string) *hcl.EvalContext {
	one := func(name string, fn func(string) (string, error)) function.Function {
		return function.New(&function.Spec{
			Params: []function.Parameter{{Name: name, Type: cty.String}},
			Type:   function.StaticReturnType(cty.String),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				s, err := fn(args[0].AsString())
				return cty.StringVal(s), err
			},
		})
	}
	return &hcl.EvalContext{Functions: map[string]function.Function{
		"env": one("name", func(name string) (string, error) {
			if v := l.get(name); v != "" {
				return v, nil
			}
			return "", fmt.Errorf("environment variable %s is not set", name)
		}),
		"file": one("path", func(path string) (string, error) {
			if !filepath.IsAbs(path) {
				path = filepath.Join(filepath.Dir(file), path)
			}
			b, err := os.ReadFile(path)
			return strings.TrimRight(string(b), "\r\n"), err
		}),
	}}
}

// calls are the function calls of an expression: their values come from elsewhere and are not for showing.
func calls(e hclsyntax.Expression) []string {
	var names []string
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		if call, ok := n.(*hclsyntax.FunctionCallExpr); ok {
			names = append(names, call.Name)
		}
		return nil
	})
	return names
}
