// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport lists what the packages around the loop may import of vipd. Package agent wires them
// together and may import any of them.
var mayImport = map[string][]string{
	"view":           {"config", "conflict", "control/api", "election", "loader", "wire"},
	"peers":          {"config", "control/api", "election", "view", "wire"},
	"clock":          {"election", "netio"},
	"events":         {"control/api"},
	"state":          {"control/api", "state/durable"},
	"state/durable":  {},
	"state/keep":     {"state/durable"},
	"state/proven":   {"state/durable"},
	"state/sequence": {"state/durable"},
	"loop": {
		"checks", "clock", "config", "conflict", "control/api", "election", "events", "hooks", "hostcheck", "loader",
		"metrics", "netio", "peers", "reach", "record", "sdnotify", "state", "state/keep", "state/proven",
		"state/sequence", "view", "wire",
	},
	"operator": {
		"checks", "clock", "config", "conflict", "control/api", "doctor", "election", "events", "hostcheck",
		"loader", "metrics", "netio", "ordinary", "peers", "programs", "record", "state", "state/keep", "state/proven",
		"view", "wire",
	},
}

// TestDirections: the loop does not know its readers, and a reader reaches the loop only through
// what the loop publishes and the commands that it accepts.
func TestDirections(t *testing.T) {
	t.Parallel()
	for dir, allowed := range mayImport {
		for name, file := range goFiles(t, dir) {
			for _, imp := range file.Imports {
				path, err := strconv.Unquote(imp.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				of, ours := strings.CutPrefix(path, "vipd/")
				if ours && !slices.Contains(allowed, strings.TrimPrefix(of, "agent/")) {
					t.Errorf("%s imports %s", name, path)
				}
			}
		}
	}
}

// TestOnlyAgentWires: no other package knows the loop, its readers, or package agent itself.
func TestOnlyAgentWires(t *testing.T) {
	t.Parallel()
	seen := 0
	err := filepath.WalkDir("..", func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if names, err := filepath.Glob(filepath.Join(dir, "*.go")); err != nil || len(names) == 0 {
			return err
		}
		seen++
		for name, file := range goFiles(t, dir) {
			for _, imp := range file.Imports {
				switch imp.Path.Value {
				case `"vipd/agent/loop"`, `"vipd/agent/operator"`:
					if dir != filepath.Join("..", "agent") {
						t.Errorf("%s imports %s", name, imp.Path.Value)
					}
				case `"vipd/agent"`:
					if dir != filepath.Join("..", "cmd", "vipd") {
						t.Errorf("%s imports %s", name, imp.Path.Value)
					}
				}
			}
		}
		return nil
	})
	if err != nil || seen < 30 {
		t.Errorf("%d packages: %v", seen, err)
	}
}

// maxFields is how many fields a struct of these packages may have.
const maxFields = 15

func TestStructsAreSmall(t *testing.T) {
	t.Parallel()
	dirs := []string{"."}
	for dir := range mayImport {
		dirs = append(dirs, dir)
	}
	for _, dir := range dirs {
		for name, file := range goFiles(t, dir) {
			ast.Inspect(file, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok {
					return true
				}
				if s, ok := spec.Type.(*ast.StructType); ok && s.Fields.NumFields() > maxFields {
					t.Errorf("%s: %s has %d fields; at most %d", name, spec.Name.Name, s.Fields.NumFields(), maxFields)
				}
				return true
			})
		}
	}
}

// goFiles parses the files of a package without its tests.
func goFiles(t *testing.T, dir string) map[string]*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no Go files in %s: %v", dir, err)
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
