package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"github.com/stemd/stem"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// readArgs reads arguments given as JSON, as @file or as - for standard input. None are {}.
func (p *program) readArgs(arg string) (json.RawMessage, error) {
	raw := []byte(arg)
	var err error
	switch {
	case arg == "":
		return json.RawMessage("{}"), nil
	case arg == "-":
		raw, err = io.ReadAll(io.LimitReader(p.stdin, stem.MaxMessage+1))
	case strings.HasPrefix(arg, "@"):
		raw, err = os.ReadFile(arg[1:])
	}
	if err != nil {
		return nil, usageError("arguments: %w", err)
	}
	return raw, checkJSON(raw)
}

func checkJSON(raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	var v any
	if err := dec.Decode(&v); err != nil {
		var syntax *json.SyntaxError
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return usageError("arguments are not valid JSON: they end too early, after %d characters", len(raw))
		case errors.As(err, &syntax):
			return usageError("arguments are not valid JSON: %v at character %d", err, syntax.Offset)
		}
		return usageError("arguments are not valid JSON: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return usageError("arguments are more than one JSON value")
	}
	return nil
}

// checker checks arguments of one task against the schema its plugin declared.
type checker struct {
	task   string
	schema *jsonschema.Schema // nil: anything goes
	fields []string
}

func newChecker(spec stem.TaskSpec) (*checker, error) {
	c := &checker{task: spec.Name}
	if len(spec.ArgsSchema) == 0 {
		return c, nil
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(spec.ArgsSchema))
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", spec.Name, err)
	}
	const url = "args.json"
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(url, doc); err != nil {
		return nil, fmt.Errorf("schema of %s: %w", spec.Name, err)
	}
	if c.schema, err = compiler.Compile(url); err != nil {
		return nil, fmt.Errorf("schema of %s: %w", spec.Name, err)
	}
	for name := range c.schema.Properties {
		c.fields = append(c.fields, name)
	}
	slices.Sort(c.fields)
	return c, nil
}

// check says what is wrong with arguments, all of it.
func (c *checker) check(raw json.RawMessage) error {
	if c.schema == nil {
		return nil
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return usageError("args of %s: %v", c.task, err)
	}
	var failed *jsonschema.ValidationError
	if err := c.schema.Validate(doc); errors.As(err, &failed) {
		return usageError("args of %s: %s", c.task, strings.Join(c.explain(failed), "; "))
	} else if err != nil {
		return usageError("args of %s: %v", c.task, err)
	}
	return nil
}

func (c *checker) explain(e *jsonschema.ValidationError) []string {
	var out []string
	at := ""
	if len(e.InstanceLocation) > 0 {
		at = fmt.Sprintf("%q: ", strings.Join(e.InstanceLocation, "."))
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		out = append(out, at+"missing "+quoted(k.Missing))
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			out = append(out, fmt.Sprintf("%sunknown %q%s", at, name, c.known(name)))
		}
	case *kind.Type:
		out = append(out, fmt.Sprintf("%swant %s, got %s", at, strings.Join(k.Want, " or "), k.Got))
	default:
		if len(e.Causes) == 0 {
			out = append(out, at+e.ErrorKind.LocalizedString(message.NewPrinter(language.English)))
		}
	}
	for _, cause := range e.Causes {
		out = append(out, c.explain(cause)...)
	}
	return out
}

// known says what an unknown name may have been meant to be: the near one, else all there are.
func (c *checker) known(name string) string {
	if near := didYouMean(name, c.fields); near != "" || len(c.fields) == 0 {
		return near
	}
	return " (known are " + quoted(c.fields) + ")"
}

func quoted(names []string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(q, ", ")
}

// didYouMean is " (did you mean …?)" when a known name is near.
func didYouMean(name string, known []string) string {
	best, distance := "", max(3, len(name)/4+1)
	for _, k := range known {
		if d := levenshtein.Distance(name, k, nil); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}
