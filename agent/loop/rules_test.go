// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestOnePlaceFeedsTheMachine: what comes of an action is returned as events, and step.go alone gives events to a
// machine.
func TestOnePlaceFeedsTheMachine(t *testing.T) {
	t.Parallel()
	fed := 0
	for name, file := range sources(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.SelectorExpr)
			if !ok || call.Sel.Name != "Step" {
				return true
			}
			if fed++; name != "step.go" {
				t.Errorf("%s calls Step", name)
			}
			return true
		})
	}
	if fed == 0 {
		t.Error("no call of Step was found")
	}
}

// TestPartsDoNotKnowTheLoop: what belongs to the loop works with its env; only [Commands] have the loop itself.
func TestPartsDoNotKnowTheLoop(t *testing.T) {
	t.Parallel()
	for name, file := range sources(t) {
		for _, decl := range file.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if of := receiver(decl); of != "" && of != "Loop" && mentions(decl.Type, "Loop") {
					t.Errorf("%s: %s.%s takes or returns the loop", name, of, decl.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					if s, ok := spec.(*ast.TypeSpec); ok && s.Name.Name != "Commands" && mentions(s.Type, "Loop") {
						t.Errorf("%s: %s holds the loop", name, s.Name.Name)
					}
				}
			}
		}
	}
}

func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
	}
	of := fn.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if id, ok := of.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

func mentions(n ast.Node, name string) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		found = found || ok && id.Name == name
		return !found
	})
	return found
}

// sources are the files of this package without its tests.
func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil || len(names) == 0 {
		t.Fatalf("no Go files: %v", err)
	}
	files := map[string]*ast.File{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = f
	}
	return files
}
