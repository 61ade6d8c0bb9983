// SPDX-License-Identifier: Apache-2.0

package packaging

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vipd/agent/config"
)

// blocks returns the indented blocks of a page, without their indentation.
func blocks(page string) (out []string) {
	var b strings.Builder
	for line := range strings.Lines(page + "end\n") {
		trimmed := strings.TrimLeft(line, " ")
		switch {
		case strings.HasPrefix(line, "    ") || trimmed == "\n" && b.Len() > 0:
			b.WriteString(trimmed)
		case b.Len() > 0:
			out = append(out, b.String())
			b.Reset()
		}
	}
	return out
}

// toml matches the parts of a block that are vipd's config: a table and its keys.
var toml = regexp.MustCompile(`(?m)^\[(carp|\[vip\]|\[check\]|\[vip\.accept\])\][^\n]*\n(?:[a-z_]+ = [^\n]*\n)*`)

// TestHowtoConfigs proves that vipd accepts every config in the pages.
func TestHowtoConfigs(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../docs/howto/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = append(pages, "../docs/hooks.md")
	parsed := 0
	for _, page := range pages {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range blocks(string(data)) {
			text := strings.Join(toml.FindAllString(block, -1), "\n")
			if text == "" || strings.Contains(block, "...") {
				continue
			}
			parsed++
			_, _, err := config.Parse(page, []byte(text), config.Options{
				ReadFile: func(string) ([]byte, fs.FileMode, error) { return []byte("secret\n"), 0o600, nil },
			})
			if err != nil {
				t.Errorf("%s shows a config that vipd refuses:\n%s\n%v", page, text, err)
			}
		}
	}
	if parsed < 5 {
		t.Errorf("only %d configs found", parsed)
	}
}

// TestExamplesAreThoseOfTheHowtos proves that `vipctl config example` and the pages show the same config.
func TestExamplesAreThoseOfTheHowtos(t *testing.T) {
	t.Parallel()
	for example, page := range map[string]string{
		"pfsense": "../docs/howto/pfsense.md", "two-nodes": "../README.md", "active-active": "../docs/howto/active-active.md",
	} {
		first := func(path string, texts func(string) []string) *config.Config {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range texts(string(data)) {
				if text = strings.Join(toml.FindAllString(text, -1), "\n"); text != "" {
					cfg, _, err := config.Parse("", []byte(text), config.Options{
						ReadFile: func(string) ([]byte, fs.FileMode, error) { return []byte("secret\n"), 0o600, nil },
					})
					if err != nil {
						t.Fatalf("%s: %v", path, err)
					}
					return cfg
				}
			}
			t.Fatalf("%s shows no config", path)
			return nil
		}
		shown := first(page, blocks)
		// Comments and empty lines end a table for the regular expression.
		got := first("../vipctl/examples/"+example+".toml", func(text string) []string {
			return []string{regexp.MustCompile(`(?m)^(#.*)?\n`).ReplaceAllString(text, "")}
		})
		if !reflect.DeepEqual(got.Carp, shown.Carp) || !reflect.DeepEqual(got.Groups, shown.Groups) {
			t.Errorf("%s: `vipctl config example %s` is\n%+v %+v\nand the page shows\n%+v %+v",
				page, example, got.Carp, got.Groups, shown.Carp, shown.Groups)
		}
	}
}

// TestDocsAreLinked proves that the README links every page, and that every link and file name in the pages exists.
func TestDocsAreLinked(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil || len(pages) < 8 {
		t.Fatalf("%v, %v", pages, err)
	}
	howto, err := filepath.Glob("../docs/howto/*.md")
	if err != nil || len(howto) < 8 {
		t.Fatalf("%v, %v", howto, err)
	}
	decisions, err := filepath.Glob("../docs/decisions/*.md")
	if err != nil || len(decisions) < 4 {
		t.Fatalf("%v, %v", decisions, err)
	}
	for _, page := range slices.Concat(pages, howto) {
		if !strings.Contains(string(readme), "("+strings.TrimPrefix(page, "../")+")") {
			t.Errorf("README.md does not link %s", page)
		}
	}
	for _, page := range slices.Concat(pages, howto, decisions, []string{"../README.md", "../CONTRIBUTING.md"}) {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(data), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s has a dead link: %v", page, err)
			}
		}
		names := regexp.MustCompile(`(?:^|[^/\w.-])((?:agent|bpf|cmd|docs|loader|packaging|tests|vipctl)/[\w./*-]*\w)`)
		for _, m := range names.FindAllStringSubmatch(string(data), -1) {
			if files, err := filepath.Glob("../" + m[1]); err != nil || len(files) == 0 {
				t.Errorf("%s names %s, which does not exist: %v", page, m[1], err)
			}
		}
	}
}
