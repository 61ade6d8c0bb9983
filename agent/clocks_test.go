// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// wallReaders are the functions that may read a clock that can be set, and why that decides nothing. The rest of the
// daemon goes by CLOCK_BOOTTIME (netio.BootNow) and by Go's timers, which run on CLOCK_MONOTONIC.
var wallReaders = map[string]string{
	"agent/clock/clock.go timeOfDay":       "the one door: for people and for files",
	"agent/checks/checks.go New":           "the default of what Result.Since is noted by",
	"agent/checks/route.go routeHandle":    "rest of a context's time, which is monotonic",
	"agent/control/listener.go refuse":     "deadline of a socket; monotonic in the runtime",
	"agent/checks/once.go run":             "how long a run on request took; monotonic in the runtime",
	"agent/helper/client.go once":          "deadline of a socket; monotonic in the runtime",
	"agent/helper/server.go serve":         "deadline of a socket; monotonic in the runtime",
	"agent/helper/server.go answer":        "deadline of a socket; monotonic in the runtime",
	"agent/hooks/hooks.go Submit":          "when a hook was over, for people",
	"agent/hooks/hooks.go report":          "when a hook was over, for people",
	"agent/hooks/run.go execute":           "when a hook began, for people; how long it ran is monotonic",
	"agent/sdnotify/sdnotify.go Reloading": "systemd's protocol wants CLOCK_MONOTONIC",
	"agent/operator/snapshot.go Snapshot":  "age of a check's result; monotonic in the runtime",
	"agent/control/routes.go serve":        "deadline of a socket; monotonic in the runtime",
	"agent/control/events.go write":        "deadline of a socket; monotonic in the runtime",
	"agent/netio/clock.go (package level)": "the origin of its CLOCK_MONOTONIC",
	"agent/netio/clock.go readDay":         "a step of it tells of a suspend; BootNow does not depend on it otherwise",
	"loader/attach/repair.go sinceBoot":    "CLOCK_BOOTTIME itself; loader imports nothing of vipd",
	"agent/metrics/made.go moment":         "its monotonic part alone, for the age of a page",
	"agent/ordinary/gate.go moment":        "its monotonic part alone, for the share of HTTP work",
	"agent/ordinary/thread.go threadTime":  "processor time of a thread, no time of day",
	"agent/web/render.go moment":           "for people; limits and pauses of the page are monotonic",
}

// TestNothingDecidesByTheWallClock finds all code of the daemon that reads a clock, so that setting the time of day by
// an hour cannot move anything (tests/ must not set the clock of the machine; this is the proof instead).
func TestNothingDecidesByTheWallClock(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	files := 0
	for _, dir := range []string{".", "../loader", "../cmd/vipd"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if path == "../loader/model" || path == "../loader/internal" { // of tests alone
				return fs.SkipDir
			}
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files++
			for _, where := range clockReaders(t, path) {
				seen[where] = true
				if wallReaders[where] == "" {
					t.Errorf(
						"%s reads the wall clock. To decide by, use clock.Clock.Now or a timer; for people, "+
							"Clock.TimeOfDay and Clock.At; if neither can be, add it to wallReaders with the reason",
						where,
					)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 100 {
		t.Errorf("only %d files were looked at", files)
	}
	for where := range wallReaders {
		if !seen[where] {
			t.Errorf("%s reads no clock any more: take it off the list", where)
		}
	}
}

// clockReaders names the functions of a file that read a clock other than through netio.BootNow.
func clockReaders(t *testing.T, path string) (out []string) {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	name, err := filepath.Rel(root, abs)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range tree.Imports {
		if spec.Name != nil &&
			(spec.Path.Value == `"time"` || strings.HasSuffix(spec.Path.Value, `sys/unix"`) || spec.Path.Value == `"syscall"`) {
			t.Errorf("%s renames %s: this test cannot see through that", name, spec.Path.Value)
		}
	}
	forbidden := map[string][]string{
		"time": {"Now", "Since", "Until"},
		"unix": {
			"ClockGettime", "Gettimeofday", "Time",
			"CLOCK_REALTIME", "CLOCK_REALTIME_COARSE", "CLOCK_TAI", "CLOCK_REALTIME_ALARM",
		},
		"syscall": {"Gettimeofday", "Time"},
	}
	for _, decl := range tree.Decls {
		where := name + " " + declName(decl)
		ast.Inspect(decl, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := sel.X.(*ast.Ident); ok && slices.Contains(forbidden[pkg.Name], sel.Sel.Name) {
					out = append(out, where)
				}
			}
			return true
		})
	}
	return out
}

func declName(decl ast.Decl) string {
	if fn, ok := decl.(*ast.FuncDecl); ok {
		return fn.Name.Name
	}
	return "(package level)"
}
