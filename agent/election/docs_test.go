// SPDX-License-Identifier: Apache-2.0

package election_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that docs/divergences.md names exists, as `DIR: TestName` or `story: NAME` for a transcript of this
// package.
func TestDivergencesNameRealTests(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/divergences.md")
	if err != nil {
		t.Fatal(err)
	}
	proof := regexp.MustCompile("`([a-z/]+): ([A-Za-z0-9-]+)`")
	found := proof.FindAllStringSubmatch(string(page), -1)
	if len(found) < 50 {
		t.Fatalf("only %d proofs", len(found))
	}
	sources := map[string]string{}
	for _, m := range found {
		dir, name := m[1], m[2]
		if dir == "story" {
			if _, err := os.Stat(filepath.Join("testdata", name+".txt")); err != nil {
				t.Errorf("%s: %v", m[0], err)
			}
			continue
		}
		if _, read := sources[dir]; !read {
			files, err := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				src, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				sources[dir] += string(src)
			}
		}
		if !strings.Contains(sources[dir], "func "+name+"(") {
			t.Errorf("%s: no such test", m[0])
		}
	}
}
