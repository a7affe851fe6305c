package arch_test

import (
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
