// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
)

// check run ends with the exit status of the check.
func TestCheckRun(t *testing.T) {
	for name, tt := range map[string]struct {
		run  api.CheckRun
		exit int
		out  string
	}{
		"passed": {
			api.CheckRun{Passed: true, ExitCode: new(0), Output: "fine"},
			0,
			"fine\na: passed after 12 ms, exit status 0\n",
		},
		"failed": {
			api.CheckRun{ExitCode: new(7), Output: "no\nbackend", Reason: "command /x: exit status 7: no"},
			7,
			"no\nbackend\na: failed after 12 ms: command /x: exit status 7: no\n",
		},
		"unreachable": {api.CheckRun{ExitCode: new(3), Reason: "x"}, 3, "a: failed after 12 ms: x\n"},
		"signal":      {api.CheckRun{Signal: 11, Reason: "x"}, 139, "a: failed after 12 ms: x\n"},
		"timeout": {
			api.CheckRun{TimedOut: true, Signal: 9, Reason: "x", Output: "y", Truncated: true},
			124,
			"y\n(the rest of the output was not kept)\na: failed after 12 ms: x\n",
		},
		"missing": {api.CheckRun{NotStarted: true, Reason: "x"}, 127, "a: failed after 12 ms: x\n"},
		"tcp": {
			api.CheckRun{Type: "tcp", Reason: "tcp 192.0.2.1:80: connection refused"},
			1,
			"a: failed after 12 ms: tcp 192.0.2.1:80: connection refused\n",
		},
		"tcp passed": {api.CheckRun{Type: "tcp", Passed: true}, 0, "a: passed after 12 ms\n"},
	} {
		tt.run.Name, tt.run.DurationSeconds = "a", 0.012
		n := &node{checkRun: tt.run}
		exit, out, errs := run(t, Env{}, "--socket", n.serve(t), "check", "run", "a")
		if exit != tt.exit || out != tt.out || errs != "" {
			t.Errorf("%s: exit code %d, want %d\n%s%s", name, exit, tt.exit, out, errs)
		}
		if len(n.asked) != 1 || n.asked[0] != "check a" {
			t.Errorf("%s: asked for %v", name, n.asked)
		}
		if exit, out, _ = run(t, Env{}, "--socket", n.serve(t), "check", "run", "-o", "json", "a"); exit != tt.exit ||
			!strings.Contains(out, `"passed": `) {
			t.Errorf("%s as JSON: exit code %d\n%s", name, exit, out)
		}
	}
	n := &node{err: api.Errorf(api.CodeNotFound, "there is no check %q", "b")}
	if exit, _, errs := run(t, Env{}, "--socket", n.serve(t), "check", "run", "b"); exit != ExitFailure ||
		!strings.Contains(errs, `no check "b"`) {
		t.Errorf("an unknown check: %d %s", exit, errs)
	}
	if exit, _, errs := run(t, Env{}, "--socket", t.TempDir()+"/none", "check", "run", "a"); exit != ExitUnreachable ||
		errs == "" {
		t.Errorf("no daemon: %d %s", exit, errs)
	}
	for _, args := range [][]string{
		{"check"},
		{"check", "run"},
		{"check", "run", "a", "b"},
		{"check", "list", "a"},
		{"check", "walk"},
		{"check", "list", "-o", "xml"},
	} {
		if exit, _, _ := run(t, Env{}, args...); exit != ExitUsage {
			t.Errorf("%v: %d", args, exit)
		}
	}
}

// check list has one row per check.
func TestCheckList(t *testing.T) {
	now := testNow()
	n := &node{checks: api.Checks{Checks: []api.Check{
		{
			Name:     "haproxy",
			Type:     "command",
			Subject:  "/usr/bin/killall -0 haproxy",
			State:    "failing",
			Since:    now.Add(-time.Minute),
			LastRun:  now.Add(-time.Second),
			Reason:   "exit status 1",
			Failures: 60,
			Rise:     2,
			Fall:     3,
			Demotion: 240,
		},
		{
			Name:      "uplink",
			Type:      "arp",
			Subject:   "192.0.2.1 on eth0",
			State:     "passing",
			Since:     now.Add(-time.Hour),
			LastRun:   now.Add(-time.Second),
			Successes: 3600,
			Rise:      2,
			Fall:      3,
			Demotion:  100,
		},
		{Name: "young", Type: "tcp", Subject: "192.0.2.1:80", State: "unknown", Since: now, Rise: 2, Fall: 3, Demotion: 100},
	}}}
	exit, out, errs := run(t, Env{}, "--socket", n.serve(t), "check", "list")
	if exit != ExitOK || errs != "" {
		t.Errorf("exit code %d\n%s", exit, errs)
	}
	golden(t, "check-list", out)
	if exit, out, _ := run(t, Env{}, "--socket", n.serve(t), "check", "list", "-o", "json"); exit != ExitOK ||
		!strings.Contains(out, `"failures": 60`) {
		t.Errorf("as JSON: exit code %d\n%s", exit, out)
	}
	if _, out, _ := run(t, Env{}, "--socket", (&node{}).serve(t), "check", "list"); out != "No checks are configured.\n" {
		t.Errorf("none: %s", out)
	}
}
