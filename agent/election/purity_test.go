// SPDX-License-Identifier: Apache-2.0

package election_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The pure packages import only what is listed. time is allowed for Duration and fmt for errors, neither for I/O.
func TestPurePackagesImportNoIO(t *testing.T) {
	t.Parallel()
	allowed := map[string][]string{
		".": {"math", "math/bits", "net/netip", "time"},
		"../wire": {
			"crypto/hmac", "crypto/sha1", "crypto/sha256", "encoding", "encoding/binary", "errors", "fmt", "hash", "math",
			"math/bits", "net/netip", "slices", "strings", "time", "unicode", "unicode/utf8",
		},
	}
	selectors := map[string][]string{
		"time": {"Duration", "Second", "Millisecond", "Microsecond", "Minute"},
		"fmt":  {"Errorf", "State"},
	}
	for dir, imports := range allowed {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) < 5 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				checkPure(t, file, imports, selectors)
			}
		}
	}
}

func checkPure(t *testing.T, file string, imports []string, selectors map[string][]string) {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range tree.Imports {
		if path, err := strconv.Unquote(spec.Path.Value); err != nil || spec.Name != nil || !slices.Contains(imports, path) {
			t.Errorf("%s imports %s, which is not on the list", file, spec.Path.Value)
		}
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt, *ast.SendStmt, *ast.SelectStmt, *ast.ChanType:
			t.Errorf("%s: %T in a pure package", file, n)
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok {
				if names, listed := selectors[pkg.Name]; listed && !slices.Contains(names, n.Sel.Name) {
					t.Errorf("%s uses %s.%s", file, pkg.Name, n.Sel.Name)
				}
			}
		case *ast.FuncDecl:
			if n.Name.Name == "init" && n.Recv == nil {
				t.Errorf("%s has an init function", file)
			}
		}
		return true
	})
}
