// SPDX-License-Identifier: Apache-2.0

package sim_test

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

// The simulator uses no clock, no goroutine, no I/O and no map.
func TestSimulatorIsPure(t *testing.T) {
	t.Parallel()
	imports := []string{
		"fmt", "math", "math/bits", "net/netip", "slices", "strings", "time", "vipd/agent/election",
		"vipd/agent/wire",
	}
	ofTime := []string{"Duration", "Hour", "Minute", "Second", "Millisecond", "Microsecond"}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range tree.Imports {
			if path, err := strconv.Unquote(spec.Path.Value); err != nil || !slices.Contains(imports, path) {
				t.Errorf("%s imports %s", file, spec.Path.Value)
			}
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt, *ast.SendStmt, *ast.SelectStmt, *ast.ChanType, *ast.MapType:
				t.Errorf("%s: %T", file, n)
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "time" && !slices.Contains(ofTime, n.Sel.Name) {
					t.Errorf("%s uses time.%s", file, n.Sel.Name)
				}
			}
			return true
		})
	}
}
