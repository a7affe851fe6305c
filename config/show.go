package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// shown is a block as it was read, for Show: all files together, values as they were understood.
type shown struct {
	kind, label string // "" at the top
	attrs       []shownAttr
	blocks      []*shown
}

type shownAttr struct {
	name  string
	value cty.Value
	text  string // the expression, when the value comes from elsewhere and is not for showing
}

// in adds a block inside.
func (s *shown) in(kind, label string) *shown {
	inner := &shown{kind: kind, label: label}
	s.blocks = append(s.blocks, inner)
	return inner
}

// once is the block of a kind without label, made if it is not there.
func (s *shown) once(kind string) *shown {
	for _, b := range s.blocks {
		if b.kind == kind && b.label == "" {
			return b
		}
	}
	return s.in(kind, "")
}

// Show prints the configuration as it was understood, as HCL. Passwords are left out, and what came from env() or file() is shown
// as it was written.
func (c *Config) Show(w io.Writer) error {
	var b bytes.Buffer
	c.shown.hcl(&b, "")
	_, err := io.WriteString(w, hide(b.String()))
	return err
}

// Document is what Show prints, as JSON. Blocks with labels are objects by label.
func (c *Config) Document() (json.RawMessage, error) {
	doc, err := c.shown.document()
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(doc)
	return json.RawMessage(hide(string(b))), err
}

func (s *shown) hcl(b *bytes.Buffer, indent string) {
	for _, a := range s.attrs {
		text := a.text
		if text == "" {
			text = string(bytes.ReplaceAll(hclwrite.TokensForValue(a.value).Bytes(), []byte("\n"), []byte("\n"+indent)))
		}
		fmt.Fprintf(b, "%s%s = %s\n", indent, a.name, text)
	}
	for i, inner := range s.blocks {
		if i > 0 || len(s.attrs) > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(indent + inner.kind)
		if inner.label != "" {
			fmt.Fprintf(b, " %q", inner.label)
		}
		b.WriteString(" {\n")
		inner.hcl(b, indent+"  ")
		b.WriteString(indent + "}\n")
	}
}

func (s *shown) document() (map[string]any, error) {
	doc := map[string]any{}
	for _, a := range s.attrs {
		if a.text != "" {
			doc[a.name] = a.text
			continue
		}
		value, err := ctyjson.Marshal(a.value, valueType(a.value))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.name, err)
		}
		doc[a.name] = json.RawMessage(value)
	}
	for _, inner := range s.blocks {
		d, err := inner.document()
		if err != nil {
			return nil, err
		}
		if inner.label == "" {
			doc[inner.kind] = d
			continue
		}
		labelled, ok := doc[inner.kind].(map[string]any)
		if !ok {
			labelled = map[string]any{}
			doc[inner.kind] = labelled
		}
		labelled[inner.label] = d
	}
	return doc, nil
}

// What looks like a secret: the password of a URL, the value of a name such as password or token, in HCL, JSON, queries and flags.
var (
	urlPassword = regexp.MustCompile(`(://[^/\s:@"]*:)[^\s"]*@`)
	secretValue = regexp.MustCompile(`(?i)((?:password|passwd|secret|token|credential|api_?key|private_?key)\w*"?\s*[=:]\s*)"(?:[^"\\\n]|\\.)*"?`)
	secretQuery = regexp.MustCompile(`(?i)((?:password|passwd|secret|token|api_?key)=)[^\s"&,;\\]+`)
)

// hide leaves out of a text what looks like a secret.
func hide(text string) string {
	text = urlPassword.ReplaceAllString(text, "${1}xxxxx@")
	text = secretValue.ReplaceAllString(text, `${1}"(not shown)"`)
	return secretQuery.ReplaceAllString(text, "${1}xxxxx")
}
