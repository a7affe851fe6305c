package config

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/stemd/stem"
	"github.com/zclconf/go-cty/cty"
)

// block reads one block: each method asks for something by name, close complains of what nobody asked for.
type block struct {
	l        *loader
	body     *hclsyntax.Body
	title    string // `plugin "media"`
	shown    *shown
	once     bool // definitions are unique over all files
	reserved []string
	known    []string
	eval     *hcl.EvalContext
}

func (l *loader) open(body *hclsyntax.Body, title string, s *shown) *block {
	return &block{l: l, body: body, title: title, shown: s, eval: l.functions(body.SrcRange.Filename)}
}

// attr evaluates an attribute; nil: it is absent or wrong.
func (b *block) attr(name string) (*hclsyntax.Attribute, cty.Value) {
	b.known = append(b.known, name)
	a := b.body.Attributes[name]
	if a == nil {
		return nil, cty.NilVal
	}
	if b.once && !b.first(name, a.NameRange) {
		return nil, cty.NilVal
	}
	v, diags := a.Expr.Value(b.eval)
	b.l.adopt(diags)
	if diags.HasErrors() {
		return nil, cty.NilVal
	}
	b.shown.attrs = append(b.shown.attrs, shownAttr{name, v, b.l.written(a)})
	return a, v
}

// first complains when something was defined before.
func (b *block) first(what string, r hcl.Range) bool {
	if before, twice := b.l.defined[what]; twice {
		b.l.complain(r, "%s is defined twice: here and at %s", what, before)
		return false
	}
	b.l.defined[what] = positionOf(r)
	return true
}

// written is the expression of a value that comes from elsewhere and is not for showing, else empty.
func (l *loader) written(a *hclsyntax.Attribute) string {
	if len(calls(a.Expr)) == 0 {
		return ""
	}
	r := a.Expr.Range()
	return string(r.SliceBytes(l.sources[r.Filename]))
}

// wrong complains of an attribute's value. A value that is not for showing is named by its expression.
func (b *block) wrong(a *hclsyntax.Attribute, format string, args ...any) {
	why := fmt.Sprintf(format, args...)
	if written := b.l.written(a); written != "" {
		if v, diags := a.Expr.Value(b.eval); !diags.HasErrors() && v.Type() == cty.String && !v.IsNull() && v.AsString() != "" {
			why = strings.ReplaceAll(why, strconv.Quote(v.AsString()), written)
			why = strings.ReplaceAll(why, v.AsString(), written)
		}
	}
	b.l.complain(a.Expr.Range(), "%s in %s: %s", a.Name, b.title, why)
}

func (b *block) text(name string, dst *string) *hclsyntax.Attribute {
	a, v := b.attr(name)
	if a == nil {
		return nil
	}
	if v.Type() != cty.String || v.IsNull() || v.AsString() == "" {
		b.wrong(a, "want a text in quotes")
		return nil
	}
	*dst = v.AsString()
	return a
}

func (b *block) name(name string, dst *string) {
	if a := b.text(name, dst); a != nil {
		if err := stem.CheckName(name, *dst); err != nil {
			b.wrong(a, "%v", err)
		}
	}
}

func (b *block) boolean(name string, set func(bool)) {
	a, v := b.attr(name)
	if a == nil {
		return
	}
	if v.Type() != cty.Bool || v.IsNull() {
		b.wrong(a, "want true or false")
		return
	}
	set(v.True())
}

// number reads a whole number of at least least.
func (b *block) number(name string, least int, set func(int)) {
	a, v := b.attr(name)
	if a == nil {
		return
	}
	if n, ok := whole(v); ok && n >= least {
		set(n)
		return
	}
	b.wrong(a, "want a whole number of at least %d", least)
}

func whole(v cty.Value) (int, bool) {
	if v.Type() != cty.Number || v.IsNull() {
		return 0, false
	}
	f := v.AsBigFloat()
	n, accuracy := f.Int64()
	return int(n), accuracy == 0 && f.IsInt()
}

func (b *block) texts(name string, dst *[]string) *hclsyntax.Attribute {
	a, v := b.attr(name)
	if a == nil {
		return nil
	}
	if !v.CanIterateElements() || v.Type().IsMapType() || v.Type().IsObjectType() {
		b.wrong(a, "want a list of texts")
		return nil
	}
	for _, item := range v.Elements() {
		if item.Type() != cty.String || item.IsNull() {
			b.wrong(a, "want a list of texts")
			return nil
		}
		*dst = append(*dst, item.AsString())
	}
	return a
}

// block reads the one block of a type, if it is there.
func (b *block) block(kind string, read func(*block)) {
	b.known = append(b.known, kind)
	var before *hclsyntax.Block
	for _, inner := range b.body.Blocks {
		if inner.Type != kind {
			continue
		}
		if len(inner.Labels) > 0 {
			b.l.complain(inner.LabelRanges[0], "%s takes no label", kind)
			continue
		}
		if b.once && !b.first(kind, inner.DefRange()) {
			continue
		}
		if !b.once && before != nil {
			b.l.complain(inner.DefRange(), "%s is defined twice in %s: here and at %s", kind, b.title, positionOf(before.DefRange()))
			continue
		}
		before = inner
		ib := b.l.open(inner.Body, kind, b.shown.once(kind))
		if b.shown.kind != "" {
			ib.title = kind + " of " + b.title
		}
		read(ib)
		ib.close()
	}
}

// labelled reads every block of a type that has one label.
func (b *block) labelled(kind string, read func(label string, at hcl.Range, b *block)) {
	b.known = append(b.known, kind)
	before := map[string]hcl.Range{}
	for _, inner := range b.body.Blocks {
		if inner.Type != kind {
			continue
		}
		if len(inner.Labels) != 1 {
			b.l.complain(inner.DefRange(), "%s needs one label: %s \"name\" { … }", kind, kind)
			continue
		}
		label := inner.Labels[0]
		title := fmt.Sprintf("%s %q", kind, label)
		if err := stem.CheckName("label of "+kind, label); err != nil {
			b.l.complain(inner.LabelRanges[0], "%v", err)
			continue
		}
		if b.once && !b.first(title, inner.DefRange()) {
			continue
		}
		if r, twice := before[label]; twice {
			b.l.complain(inner.DefRange(), "%s is defined twice: here and at %s", title, positionOf(r))
			continue
		}
		before[label] = inner.DefRange()
		ib := b.l.open(inner.Body, title, b.shown.in(kind, label))
		read(label, inner.DefRange(), ib)
		ib.close()
	}
}

// close complains of everything that nobody asked for.
func (b *block) close() {
	for _, name := range slices.Sorted(mapKeys(b.body.Attributes)) {
		if !slices.Contains(b.known, name) {
			b.unknown("attribute", name, b.body.Attributes[name].NameRange)
		}
	}
	for _, inner := range b.body.Blocks {
		if !slices.Contains(b.known, inner.Type) {
			b.unknown("block", inner.Type, inner.TypeRange)
		}
	}
	for name, a := range b.body.Attributes {
		if slices.ContainsFunc(b.body.Blocks, func(inner *hclsyntax.Block) bool { return inner.Type == name }) {
			b.l.complain(a.NameRange, "%s is both an attribute and a block", name)
		}
	}
}

func (b *block) unknown(what, name string, r hcl.Range) {
	if slices.Contains(b.reserved, name) {
		b.l.complain(r, "%s in %s is not supported yet by this version", name, b.title)
		return
	}
	b.l.complain(r, "unknown %s %q in %s%s", what, name, b.title, hint(name, b.known))
}

func mapKeys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }
