// SPDX-License-Identifier: Apache-2.0

package needs

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// outcome records how a test ends, instead of ending it.
type outcome struct {
	testing.TB
	skipped, failed string
}

func (*outcome) Helper()                        {}
func (o *outcome) Skipf(f string, args ...any)  { o.skipped = fmt.Sprintf(f, args...) }
func (o *outcome) Fatalf(f string, args ...any) { o.failed = fmt.Sprintf(f, args...) }

func TestMet(t *testing.T) {
	for _, tt := range []struct {
		promised        string
		lacking         error
		skipped, failed string
	}{
		{"root,netns", nil, "", ""},
		{"", errors.New("none"), "needs netns: none", ""},
		{"root,netnsx", errors.New("none"), "needs netns: none", ""},
		{"root,netns", errors.New("none"), "", Env + " promises netns: none"},
	} {
		t.Setenv(Env, tt.promised)
		var got outcome
		Met(&got, "netns", tt.lacking)
		if got.skipped != tt.skipped || got.failed != tt.failed {
			t.Errorf("%+v: skipped %q, failed %q", tt, got.skipped, got.failed)
		}
	}
}

func TestProgram(t *testing.T) {
	t.Setenv(Env, "no-such-program")
	var got outcome
	if Program(&got, "no-such-program"); got.failed == "" {
		t.Error("a promised program that is missing does not fail the test")
	}
	if path := Program(t, "go"); path == "" {
		t.Error("no path of go")
	}
}

// kernelNeeds depend on the machine's kernel; `make test-vm` has a kernel with bonds.
var kernelNeeds = map[string]bool{"vm": true, "bond": true, "vrf": true}

// `make test` promises every need that a test names, so that it never passes by skipping.
func TestMakefilePromisesEveryNeed(t *testing.T) {
	text, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	promised := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(?:ROOT_)?NEEDS := (.*)$`).FindAllStringSubmatch(string(text), -1) {
		for name := range strings.SplitSeq(m[1], ",") {
			promised[name] = true
		}
	}
	named := map[string]token.Position{}
	err = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2 || path == "../../tests/needs"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		return needsOf(path, named)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"root", "netns", "bpf", "loop", "chromium", "ping"} { // of each form
		if named[name] == (token.Position{}) {
			t.Errorf("no test was found that needs %s: this test proves nothing", name)
		}
	}
	for name, at := range named {
		if !promised[name] && !kernelNeeds[name] {
			t.Errorf("%v: the Makefile's NEEDS do not have %s", at, name)
		}
	}
}

// needsOf adds the needs that a file names: arguments of Met, Program, Root and NetNS, and constants of a type need.
func needsOf(path string, named map[string]token.Position) error {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	add := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if name, err := strconv.Unquote(lit.Value); err == nil {
				named[name] = set.Position(lit.Pos())
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			f, ok := n.Fun.(*ast.SelectorExpr)
			if !ok {
				break
			}
			if pkg, ok := f.X.(*ast.Ident); !ok || pkg.Name != "needs" {
				break
			}
			switch {
			case len(n.Args) >= 2:
				add(n.Args[1])
			case f.Sel.Name == "Root" || f.Sel.Name == "NetNS":
				named[strings.ToLower(f.Sel.Name)] = set.Position(n.Pos())
			}
		case *ast.ValueSpec:
			if typ, ok := n.Type.(*ast.Ident); ok && typ.Name == "need" {
				for _, v := range n.Values {
					add(v)
				}
			}
		}
		return true
	})
	return nil
}
