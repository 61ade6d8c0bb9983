// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// vipctl imports nothing of the agent but the control API, which imports nothing of vipd.
func TestImports(t *testing.T) {
	t.Parallel()
	for dir, allowed := range map[string][]string{
		".":                           {"vipd/agent/control/api", "vipd/agent/control/api/pcapng", "vipd/vipctl/convert"},
		"convert":                     nil,
		"manpage":                     nil,
		"../agent/control/api":        nil,
		"../agent/control/api/pcapng": {"vipd/agent/control/api"},
		"../cmd/vipctl":               {"vipd/vipctl"},
	} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(dir, files, err)
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
				if strings.HasPrefix(path, "vipd/") && !slices.Contains(allowed, path) {
					t.Errorf("%s imports %s", file, path)
				}
			}
		}
	}
}
