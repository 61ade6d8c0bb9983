// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestDirections holds which packages of the loader may import which: what is attached where and the tables know
// nothing of each other, and no product code imports what is for tests.
func TestDirections(t *testing.T) {
	t.Parallel()
	for dir, allowed := range map[string][]string{
		".":                {"attach", "object", "tables"},
		"attach":           {"internal/ethtool", "object"},
		"tables":           {"object"},
		"object":           nil,
		"internal/ethtool": nil,
	} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, imp := range f.Imports {
				path, err := strconv.Unquote(imp.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.HasPrefix(path, "vipd/") {
					continue
				}
				if of, ok := strings.CutPrefix(path, "vipd/loader/"); !ok || !slices.Contains(allowed, of) {
					t.Errorf("%s imports %s", file, path)
				}
			}
		}
	}
}
