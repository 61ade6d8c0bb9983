// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"vipd/agent/control/api"
	"vipd/tests/executable"
)

func TestRestart(t *testing.T) {
	n := &node{status: healthy(), restart: api.Restart{PID: 1}} // not the process that answers
	n.status.Version = "0.3.0"
	socket := n.serve(t)
	code, out, errs := run(t, Env{}, "--socket", socket, "restart")
	want := fmt.Sprintf("restarted: vipd 0.3.0 answers (process %d), %s\n", os.Getpid(), summary(&n.status))
	if code != ExitOK || out != want || errs != "" {
		t.Errorf("exit %d, %q, %q, want %q", code, out, errs, want)
	}
	n.restart.PID = os.Getpid() // it never leaves
	code, out, errs = run(t, Env{}, "--socket", socket, "restart", "--timeout", "120ms")
	if code != ExitFailure || out != "" || !strings.Contains(errs, "none answers in its place after 120ms") ||
		!strings.Contains(errs, "systemctl start vipd") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	if strings.Join(n.asked, ",") != "restart,restart" {
		t.Errorf("asked %q", n.asked)
	}
}

// Before a vipd that cannot carry on for the running one, the addresses move to another node if the operator agrees.
func TestRestartByAVipdThatCannotCarryOn(t *testing.T) {
	const (
		other  = `echo '{"takes_over":false,"why":"layout v8, needs v9"}'`
		same   = `echo '{"takes_over":true}'`
		older  = `echo "vipd: flag provided but not defined: -takes-over" >&2; exit 2`
		moves  = "maintenance and wait, force false,restart,maintenance false"
		itself = "restart"
	)
	for _, tt := range []struct {
		name, next, state string
		advbase           int
		flags             []string
		kept              error
		code              int
		asked, says       string
	}{
		{"carries on", same, api.StateMaster, 1, nil, nil, ExitOK, itself, "restarted: "},
		{
			"carries on, with leave to move", same, api.StateMaster, 1,
			[]string{"--hand-over"},
			nil,
			ExitOK, itself, "restarted: ",
		},
		{"cannot be asked", older, api.StateMaster, 1, nil, nil, ExitOK, itself, "restarted: "},
		{"nothing to lose", other, api.StateBackup, 1, nil, nil, ExitOK, itself, "restarted: "},
		{
			"no leave to move", other, api.StateMaster, 1, nil, nil, ExitFailure, "",
			"not restarted: the next vipd cannot carry on (layout v8, needs v9)",
		},
		{
			"moves", other, api.StateMaster, 1,
			[]string{"--hand-over"},
			nil, ExitOK, moves,
			"(layout v8, needs v9): the addresses move to another node during the restart.\n" +
				"eth0@1: 192.0.2.12 took over",
		},
		{
			"short lease", same, api.StateMaster, 0,
			[]string{"--hand-over"},
			nil, ExitOK, moves,
			"(the lease of eth0@1 is 152ms): the addresses move",
		},
		{
			"alone", other, api.StateMaster, 1,
			[]string{"--hand-over"},
			api.Errorf(api.CodeNoSuccessor, "no node took over"), ExitOK,
			"maintenance and wait, force false,maintenance false,restart",
			"no other node takes over: the addresses are unanswered until the next vipd claims them",
		},
		{
			"cannot move", other, api.StateMaster, 1,
			[]string{"--hand-over"},
			api.Errorf(api.CodeTimeout, "too slow"), ExitFailure, "maintenance and wait, force false,maintenance false",
			"not restarted: too slow",
		},
	} {
		n := &node{
			status: api.Status{Enabled: true, Groups: []api.Group{
				{Name: "eth0@1", State: tt.state, AdvBase: tt.advbase, EffectiveAdvSkew: 13},
			}},
			restart: api.Restart{PID: 1}, kept: tt.kept,
			change: api.Change{Handovers: []api.Handover{
				{Group: "eth0@1", Outcome: api.OutcomeHandedOver, Successor: "192.0.2.12"},
			}},
		}
		next := executable.Script(t, "vipd", `case "$*" in *--takes-over) `+tt.next+";; *) exit 9;; esac")
		code, out, errs := run(t, Env{Daemon: next}, append([]string{"--socket", n.serve(t), "restart"}, tt.flags...)...)
		if asked := strings.Join(n.asked, ","); code != tt.code || asked != tt.asked || !strings.Contains(out+errs, tt.says) {
			t.Errorf("%s: exit %d, asked %q, stdout\n%s\nstderr\n%s", tt.name, code, asked, out, errs)
		}
	}
}
