// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/tests/executable"
	"vipd/tests/lab"
)

// withHook gives the config's group a hook of that text.
func withHook(t *testing.T, c lab.NodeConfig, keys, text string) lab.NodeConfig {
	t.Helper()
	path := executable.Script(t, "hook", text)
	c.Groups[0].Extra += "hook = \"" + path + "\"\n" + keys + "\n"
	return c
}

func readLines(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

func history(t lab.TB, n *lab.Node) []api.Transition {
	t.Helper()
	var h api.History
	if err := json.Unmarshal([]byte(n.MustCTL("history", "-o", "json")), &h); err != nil {
		t.Fatalf("history of %s: %v", n.Name, err)
	}
	return h.Transitions
}

// The hook runs for every transition and inherits no file of the daemon; one that hangs delays nothing and is
// killed; a restart in its middle makes the next vipd run it again; a stop runs it, too.
func TestHookRunsForEveryTransition(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	calls, hang := filepath.Join(dir, "calls"), filepath.Join(dir, "hang")
	config := oneVIP(0)
	config.Groups[0].AdvBase = 5 // a lease that outlasts a restart on a busy machine
	s := newSingle(t, withHook(t, config, `hook_timeout = "20s"`,
		// The shell's own pipe may be closed while ls looks at it.
		`ls -l /proc/$$/fd 2>/dev/null | grep -c socket: >>`+dir+`/sockets
		 if [ -e `+hang+` ] && [ "$3" = MASTER ]; then echo "begun $*" >>`+calls+`; sleep 600; fi
		 echo "$* $VIPD_REASON $VIPD_ADDRESSES $VIPD_GENERATION" >>`+calls+`
		 chrt -p $$ >>`+calls+`.sched; echo done`))
	if err := os.WriteFile(hang, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.startMaster()
	s.Eventually(patience, 10*time.Millisecond, func() (bool, string) {
		got := readLines(t, calls)
		return got[len(got)-1] == "begun eth0@1 BACKUP MASTER", "the hook hangs: " + strings.Join(got, ", ")
	})
	// While it hangs: the lease is renewed, over and over.
	for range 3 {
		time.Sleep(time.Second)
		if g := s.node.Group(group); !g.Dataplane.Answering {
			t.Fatalf("while a hook hangs the group is %s (%s), not answering", g.State, g.Reason)
		}
	}
	tr := history(t, s.node)
	if h := tr[len(tr)-1].Hook; h == nil || h.Outcome != api.HookWaiting {
		t.Errorf("in the history while it runs: %+v", h)
	}
	before := s.node.Group(group)
	if err := os.Remove(hang); err != nil {
		t.Fatal(err)
	}
	old := s.node.Proc()
	old.Signal(syscall.SIGUSR2)
	if code := old.Wait(patience); code != 0 {
		t.Errorf("left with exit code %d", code)
	}
	s.node.Start()
	if g := s.node.Group(group); g.State != lab.Master || g.Generation != before.Generation {
		t.Errorf(
			"after the restart %s in generation %d, want MASTER in %d: the hook must not cost the lease",
			g.State,
			g.Generation,
			before.Generation,
		)
	}
	want := "eth0@1 BACKUP MASTER goodbye 192.0.2.100/24 1"
	s.Eventually(patience, 10*time.Millisecond, func() (bool, string) {
		got := readLines(t, calls)
		return got[len(got)-1] == want, "it is run again: " + strings.Join(got, ", ")
	})
	s.Eventually(patience, 10*time.Millisecond, func() (bool, string) {
		tr := history(t, s.node)
		h := tr[len(tr)-1].Hook
		return h != nil && h.Outcome == api.HookOK && h.Output == "done", "its outcome is in the history"
	})
	if v := metric(s.node.Metrics(), `vipd_hook_runs_total{interface="eth0",outcome="ok",vhid="1"}`); v != 1 {
		t.Errorf("counted %v runs, want 1", v)
	}
	if out := s.node.MustCTL("history"); !strings.Contains(out, "HOOK") || !strings.Contains(out, "ok ") {
		t.Errorf("vipctl history:\n%s", out)
	}
	s.node.Stop()
	got := readLines(t, calls)
	if last := got[len(got)-1]; last != "eth0@1 MASTER INIT stop 192.0.2.100/24 1" {
		t.Errorf("told at the end %q", last)
	}
	for _, n := range readLines(t, dir+"/sockets") {
		if n != "0" {
			t.Errorf("%s sockets were inherited", n)
		}
	}
	if sched := strings.Join(readLines(t, calls+".sched"), "\n"); !strings.Contains(sched, "SCHED_OTHER") ||
		strings.Contains(sched, "SCHED_RR") {
		t.Errorf("scheduled as %s", sched)
	}
}
