// SPDX-License-Identifier: Apache-2.0

package packaging

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"vipd/agent/config"
)

// blocks are the indented blocks of a page, without their indentation.
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

// toml are the parts of a block that are vipd's config: from a table of ours to a blank line before something else.
var toml = regexp.MustCompile(`(?m)^\[(carp|\[vip\]|\[check\]|\[vip\.accept\])\][^\n]*\n(?:[a-z_]+ = [^\n]*\n)*`)

// Every config that the pages show is one that vipd takes, together with the rest of its page.
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
				t.Errorf("%s shows what vipd refuses:\n%s\n%v", page, text, err)
			}
		}
	}
	if parsed < 5 {
		t.Errorf("only %d configs found", parsed)
	}
}

// Every page is linked from the README, and every link between pages goes somewhere.
func TestDocsAreLinked(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("../docs/howto/*.md")
	if err != nil || len(pages) < 8 {
		t.Fatalf("%v, %v", pages, err)
	}
	for _, page := range append(pages, "../docs/hooks.md") {
		if !strings.Contains(string(readme), "("+strings.TrimPrefix(page, "../")+")") {
			t.Errorf("README.md does not link %s", page)
		}
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(data), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links what is not there: %v", page, err)
			}
		}
		for _, m := range regexp.MustCompile(`\b(?:packaging|docs)/[\w./-]+\w`).FindAllString(string(data), -1) {
			if _, err := os.Stat("../" + m); err != nil {
				t.Errorf("%s names what is not there: %v", page, err)
			}
		}
	}
}
