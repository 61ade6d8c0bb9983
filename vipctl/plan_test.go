// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vipd/agent/control/api"
)

func examplePlan() api.Plan {
	return api.Plan{
		Source: "/tmp/new.toml", Node: "fw1", Moves: true,
		Changes: []api.PlanChange{
			{
				Group:  "eth0@3",
				Action: api.PlanRemove,
				State:  "MASTER",
				Effects: []api.PlanEffect{
					{Effect: api.EffectGivesUp, Addresses: []string{"192.0.2.3/24"}, Text: "it says goodbye"},
				},
			},
			{
				Group:   "eth0@1",
				Action:  api.PlanModify,
				State:   "BACKUP",
				Fields:  []string{"advskew", "description"},
				Effects: []api.PlanEffect{{Effect: api.EffectNone, Addresses: []string{}, Text: "no address moves"}},
			},
			{
				Group:  "eth0@4",
				Action: api.PlanAdd,
				Effects: []api.PlanEffect{
					{Effect: api.EffectMayTake, Addresses: []string{"192.0.2.4/24", "2001:db8::4/64"}, Text: "begins as BACKUP"},
				},
			},
			{Group: "eth0@5", Action: "of the future", State: "INIT"},
		},
		Untouched: []string{"eth0@2"}, Global: []string{"carp.preempt"}, NeedRestart: []string{"http.listen"},
		Warnings: []string{"/tmp/new.toml:3: hook: warned"},
	}
}

func TestPlan(t *testing.T) {
	n := &node{plan: examplePlan()}
	socket := n.serve(t)
	path := filepath.Join(t.TempDir(), "new.toml")
	if err := os.WriteFile(path, []byte("# new\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	code, out, errs := run(t, Env{}, "--socket", socket, "plan", path)
	if code != ExitOK || errs != "vipctl: warning: /tmp/new.toml:3: hook: warned\n" {
		t.Errorf("exit %d, %q", code, errs)
	}
	golden(t, "plan", out)
	code, out, errs = run(t, Env{}, "--socket", socket, "plan", "-o", "json", path)
	if code != ExitOK || errs != "" {
		t.Errorf("exit %d, %q", code, errs)
	}
	golden(t, "plan-json", out)
	if want := "plan " + path + ` 0640 "# new\n"`; strings.Join(n.asked, "|") != want+"|"+want {
		t.Errorf("asked %q, want %q", n.asked, want)
	}

	n.asked = nil
	n.plan = api.Plan{Source: "/etc/vipd/vipd.toml", Node: "fw1", Untouched: []string{"eth0@1"}}
	code, out, errs = run(t, Env{}, "--socket", socket, "plan")
	if code != ExitOK || errs != "" || out != "/etc/vipd/vipd.toml is what fw1 runs: a reload would change nothing.\n" ||
		strings.Join(n.asked, "|") != "plan of its own file" {
		t.Errorf("exit %d, %q, %q, asked %q", code, out, errs, n.asked)
	}
}

func TestPlanRefused(t *testing.T) {
	n := &node{
		err: &api.Error{
			Code:     api.CodeInvalidConfig,
			Message:  "a reload would refuse this config and change nothing:",
			Problems: []string{"f:1: vhid: x", "f:2: y"},
		},
	}
	socket := n.serve(t)
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{
			[]string{"--socket", socket, "plan"},
			ExitFailure,
			"vipctl: a reload would refuse this config and change nothing:\n  f:1: vhid: x\n  f:2: y\n",
		},
		{[]string{"--socket", socket, "plan", "/none"}, ExitFailure, "vipctl: open /none: no such file or directory\n"},
		{
			[]string{"--socket", socket, "plan", "a", "b"},
			ExitUsage,
			"vipctl: \"b\" is one argument too many: `vipctl plan [flags] [FILE]`\n",
		},
		{[]string{"--socket", "/none", "plan"}, ExitUnreachable, "vipctl: vipd is not reachable at /none: "},
	} {
		code, out, errs := run(t, Env{}, tt.args...)
		if code != tt.code || out != "" || !strings.HasPrefix(errs, tt.want) {
			t.Errorf("%q: exit %d, %q, %q", tt.args, code, out, errs)
		}
		if tt.code == ExitUnreachable && !strings.Contains(errs, "`vipctl config check FILE` checks a file alone") {
			t.Errorf("no way out: %q", errs)
		}
	}
}
