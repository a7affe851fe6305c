package arch_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/features.md is a promise: every test it names must be there, in the package it names.
func TestEveryFeatureNamesTestsThatExist(t *testing.T) {
	root := moduleRoot(t)
	b, err := os.ReadFile(filepath.Join(root, "docs", "features.md"))
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| ([A-Z]+-\d+) \|.*\| (.*) \|$`)
	named := regexp.MustCompile("(?:([a-z/]+) )?`(Test\\w+)`")
	rows := row.FindAllStringSubmatch(string(b), -1)
	if len(rows) < 50 {
		t.Fatalf("only %d rows were read", len(rows))
	}
	seen := map[string]bool{}
	for _, r := range rows {
		if seen[r[1]] {
			t.Errorf("%s is listed twice", r[1])
		}
		seen[r[1]] = true
		tests := named.FindAllStringSubmatch(r[2], -1)
		if len(tests) == 0 {
			t.Errorf("%s names no test", r[1])
		}
		for _, test := range tests {
			files, err := filepath.Glob(filepath.Join(root, test[1], "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, file := range files {
				src, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				found = found || strings.Contains(string(src), "func "+test[2]+"(t *testing.T)")
			}
			if !found {
				t.Errorf("%s: there is no %s in %q", r[1], test[2], test[1])
			}
		}
	}
}

// The pages link to each other and to files; a link that leads nowhere is a promise too.
func TestLinksOfTheDocumentationLeadSomewhere(t *testing.T) {
	root := moduleRoot(t)
	out, err := exec.Command("git", "-C", root, "ls-files", "*.md").Output()
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([\w./-]+)\)`)
	for page := range strings.FieldsSeq(string(out)) {
		b, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: link to %s: %v", page, m[1], err)
			}
		}
	}
}

// What the pages call by name must be there.
func TestTheDocumentationNamesOnlyWhatTheCodeExports(t *testing.T) {
	root := moduleRoot(t)
	packages := map[string]string{
		"stem": ".", "sdk": "plugin/sdk", "stemtest": "plugin/sdk/stemtest", "adapters": "adapters", "adaptertest": "adapters/adaptertest", "sqlite": "adapters/sqlite",
	}
	exported := map[string]map[string]bool{}
	for name, dir := range packages {
		exported[name] = exports(t, filepath.Join(root, dir))
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	qualified := regexp.MustCompile(`\b([a-z]+)\.([A-Z]\w+)`)
	option := regexp.MustCompile("`([A-Z]\\w+)\\(")
	found := 0
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range qualified.FindAllStringSubmatch(string(b), -1) {
			if names, ours := exported[m[1]]; ours {
				if found++; !names[m[2]] {
					t.Errorf("%s names %s, which does not exist", filepath.Base(page), m[0])
				}
			}
		}
		if filepath.Base(page) != "producers.md" {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if !strings.HasPrefix(line, "| `") { // the table of options
				continue
			}
			for _, m := range option.FindAllStringSubmatch(line, -1) {
				if found++; !exported["stem"][m[1]] {
					t.Errorf("producers.md names the option %s, which does not exist", m[1])
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d names were found", found)
	}
}

// exports are the exported names at the top of a package.
func exports(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					names[d.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.TypeSpec:
						names[s.Name.Name] = true
					case *ast.ValueSpec:
						for _, n := range s.Names {
							names[n.Name] = true
						}
					}
				}
			}
		}
	}
	return names
}
