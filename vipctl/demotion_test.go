// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"strings"
	"testing"

	"vipd/agent/control/api"
)

func TestDemotionVerbs(t *testing.T) {
	n := &node{status: rotating()}
	socket := n.serve(t)
	changed := api.DemotionChange{Changed: true, Demotion: 100}
	for _, tt := range []struct {
		args   []string
		change api.DemotionChange
		want   string
		asked  string
	}{
		{[]string{"add", "ops", "100"}, changed, "demoted by 100 (ops); total demotion: 100\n", `add ops 100 0s ""`},
		{
			[]string{"add", "ops", "100"},
			api.DemotionChange{Demotion: 100},
			"already demoted by 100 (ops); total demotion: 100\n",
			`add ops 100 0s ""`,
		},
		{
			[]string{"add", "ops", "100", "--for", "10m", "--reason", "a b"},
			changed,
			"demoted by 100 (ops) for 10m0s; total demotion: 100\n",
			`add ops 100 10m0s "a b"`,
		},
		{
			[]string{"add", "--for=1s", "ops", "--reason=-x", "100"},
			changed,
			"demoted by 100 (ops) for 1s; total demotion: 100\n",
			`add ops 100 1s "-x"`,
		},
		{
			[]string{"add", "--reason", "x", "ops", "100", "-for", "1h"},
			changed,
			"demoted by 100 (ops) for 1h0m0s; total demotion: 100\n",
			`add ops 100 1h0m0s "x"`,
		},
		{[]string{"add", "ops", "--", "-1"}, changed, "demoted by -1 (ops); total demotion: 100\n", `add ops -1 0s ""`},
		{
			[]string{"add", "ops", "--for", "10m", "--", "-1"},
			changed,
			"demoted by -1 (ops) for 10m0s; total demotion: 100\n",
			`add ops -1 10m0s ""`,
		},
		{[]string{"add", "--", "ops", "-1"}, changed, "demoted by -1 (ops); total demotion: 100\n", `add ops -1 0s ""`},
		{
			[]string{"add", "ops", "-1", "--for", "10m"},
			changed,
			"demoted by -1 (ops) for 10m0s; total demotion: 100\n",
			`add ops -1 10m0s ""`,
		},
		{
			[]string{"remove", "ops"},
			api.DemotionChange{Changed: true, Message: "eth0@1 takes over."},
			"removed ops; total demotion: 0\neth0@1 takes over.\n",
			"remove ops",
		},
		{[]string{"remove", "ops"}, api.DemotionChange{}, "there is no demotion ops; total demotion: 0\n", "remove ops"},
		{
			[]string{"remove", "senderr:eth0@1"},
			api.DemotionChange{Changed: true},
			"removed senderr:eth0@1; total demotion: 0\n",
			"remove senderr:eth0@1",
		},
		{
			[]string{"reset"},
			api.DemotionChange{Changed: true, Demotion: 240, Removed: []string{"ops", "senderr:eth0@1"}},
			"removed ops, senderr:eth0@1; total demotion: 240\n",
			"reset",
		},
		{[]string{"reset"}, api.DemotionChange{Demotion: 240}, "nothing to reset; total demotion: 240\n", "reset"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			n.mu.Lock()
			n.demote, n.asked = tt.change, nil
			n.mu.Unlock()
			code, out, errs := run(t, Env{}, append([]string{"--socket", socket, "demotion"}, tt.args...)...)
			if code != ExitOK || out != tt.want || errs != "" || strings.Join(n.asked, ",") != tt.asked {
				t.Errorf("exit %d, stdout %q, stderr %q, asked %q", code, out, errs, n.asked)
			}
		})
	}
	n.asked = nil
	for _, args := range [][]string{{"add", "ops", "100", "--socket", socket}, {"add", "--socket", socket, "ops", "100"}} {
		if code, _, errs := run(t, Env{}, append([]string{"--socket", "/none", "demotion"}, args...)...); code != ExitOK {
			t.Errorf("%q: exit %d, %s", args, code, errs)
		}
	}
	n.asked = nil
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"", ExitUsage, "which command? There are list, add, remove, reset, help; see `vipctl demotion --help`"},
		{"add ops", ExitUsage, "N is missing: `vipctl demotion add [flags] NAME N`"},
		{"add ops 1 2", ExitUsage, "\"2\" is one argument too many: `vipctl demotion add [flags] NAME N`"},
		{"add ops ten", ExitUsage, `N is "ten"; it must be a number, 1..255 or, after --, -1..-255`},
		{"add ops 1 --until 10m", ExitUsage, "there is no flag --until; see `vipctl demotion add --help`"},
		{"add ops 1 --for", ExitUsage, "--for needs a value; see `vipctl demotion add --help`"},
		{"add ops 1 --for ten", ExitUsage, `--for "ten" is not a time with its unit, such as 30s or 10m; see`},
		{
			"add ops 1 --for 1500ms",
			ExitUsage,
			"--for 1.5s is not allowed; allowed are whole seconds up to 8760h0m0s, such as 10m",
		},
		{"add ops 1 --for -1s", ExitUsage, "--for -1s is not allowed; allowed are whole seconds"},
		{
			"add ops 0",
			ExitFailure,
			"0 is not a valid demotion; allowed are 1..255, and -1..-255 to offset others",
		},
		{
			"add maintenance 1",
			ExitFailure,
			"maintenance is the daemon's own demotion: `vipctl maintenance enter` adds it, and it survives a reboot",
		},
		{"remove", ExitUsage, "NAME is missing: `vipctl demotion remove [flags] NAME`"},
		{
			"remove maintenance",
			ExitFailure,
			"maintenance mode is not removed as a demotion: `vipctl maintenance leave` ends it",
		},
		{
			"remove link:eth0",
			ExitFailure,
			`"link:eth0" ends when the interface has carrier again; add a negative demotion to offset it`,
		},
		{"reset now", ExitUsage, "\"now\" is one argument too many: `vipctl demotion reset [flags]`"},
	} {
		code, out, errs := run(t, Env{}, append([]string{"--socket", socket, "demotion"}, strings.Fields(tt.args)...)...)
		if code != tt.code || out != "" || !strings.HasPrefix(errs, "vipctl: "+tt.want) || n.asked != nil {
			t.Errorf("%s: exit %d, stdout %q, stderr %q, want %q; asked %q", tt.args, code, out, errs, tt.want, n.asked)
		}
	}
	_, out, _ := run(t, Env{}, "--socket", socket, "demotion", "remove", "--generate-bash-completion")
	if out != "relief\nupgrade\n" {
		t.Errorf("completion: %q", out)
	}
}
