// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"strings"
	"testing"

	"vipd/agent/control/api"
)

func TestHandover(t *testing.T) {
	n := &node{status: rotating()}
	n.status.Groups = nil // TestForetell has what is said before
	socket := n.serve(t)
	taken := api.Handover{
		Group:       "eth0@1",
		Outcome:     api.OutcomeHandedOver,
		State:       api.StateBackup,
		Reason:      "yield",
		Successor:   "192.0.2.12",
		TookSeconds: 0.0123,
	}
	bowed, late, unknown := taken, taken, taken
	bowed.Goodbye, bowed.TookSeconds = true, 2.04
	late.GapSeconds = 0.25
	unknown.Successor = ""
	gone := api.Handover{
		Group:       "eth0@1",
		Outcome:     api.OutcomeGivenUp,
		State:       api.StateBackup,
		Reason:      "yield",
		Goodbye:     true,
		TookSeconds: 4,
	}
	not := api.Handover{Group: "eth0@1", Outcome: api.OutcomeNotMaster, State: api.StateBackup, Reason: "startup"}
	down := api.Handover{Group: "eth0@1", Outcome: api.OutcomeNotMaster, State: api.StateInit, Reason: "link_down"}
	nobody := api.Errorf(
		api.CodeNoSuccessor,
		"nobody took over eth0@1 within 4.0s: it stays MASTER here; `vipctl yield --force eth0@1` gives it up without a "+
			"successor",
	)
	for _, tt := range []struct {
		args   string
		answer api.Handover
		change api.Change
		err    error
		want   string
		asked  string
	}{
		{
			args:   "yield eth0@1",
			answer: taken,
			want:   "eth0@1: 192.0.2.12 took over after 12 ms, without a gap: this node answered until its first advertisement",
			asked:  "yield eth0@1, force false",
		},
		{
			args:   "yield eth0@1",
			answer: bowed,
			want: "eth0@1: 192.0.2.12 took over after 2.0 s, asked by a goodbye, without a gap: this node answered until its " +
				"first advertisement",
			asked: "yield eth0@1, force false",
		},
		{
			args:   "yield eth0@1",
			answer: late,
			want:   "eth0@1: 192.0.2.12 took over after 12 ms, with a gap of 250 ms without an owner",
			asked:  "yield eth0@1, force false",
		},
		{
			args:   "yield eth0@1",
			answer: unknown,
			want: "eth0@1: another node took over after 12 ms, without a gap: this node answered until its first " +
				"advertisement",
			asked: "yield eth0@1, force false",
		},
		{
			args:   "yield --force eth0@1",
			answer: gone,
			want: "eth0@1: given up after 4.0 s without a successor: no node owns it now, and this node takes it again if no " +
				"other does",
			asked: "yield eth0@1, force true",
		},
		{
			args:   "yield eth0@1 --force",
			answer: not,
			want:   "eth0@1: nothing to hand over, it is BACKUP here",
			asked:  "yield eth0@1, force true",
		},
		{
			args:   "yield eth0@1 --force=false",
			answer: down,
			want:   "eth0@1: nothing to hand over, it is INIT (link_down) here",
			asked:  "yield eth0@1, force false",
		},
		{args: "yield eth0@1", err: nobody, want: "vipctl: " + nobody.Message, asked: "yield eth0@1, force false"},
		{
			args: "maintenance enter --wait", change: api.Change{
				Changed:   true,
				Handovers: []api.Handover{taken},
				Message:   "Not handed over.",
			},
			want: "maintenance mode entered, also after a reboot\n" +
				"eth0@1: 192.0.2.12 took over after 12 ms, without a gap: this node answered until its first advertisement\n" +
				"Not handed over.",
			asked: "maintenance and wait, force false",
		},
		{
			args:   "maintenance enter --wait --force",
			change: api.Change{},
			want:   "already in maintenance mode",
			asked:  "maintenance and wait, force true",
		},
	} {
		t.Run(tt.args+" "+tt.answer.Outcome, func(t *testing.T) {
			n.mu.Lock()
			n.handover, n.change, n.err, n.asked = tt.answer, tt.change, tt.err, nil
			n.mu.Unlock()
			code, out, errs := run(t, Env{}, append([]string{"--socket", socket}, strings.Fields(tt.args)...)...)
			want := ExitOK
			if tt.err != nil {
				want = ExitFailure
			}
			if code != want || out+errs != tt.want+"\n" || strings.Join(n.asked, ",") != tt.asked {
				t.Errorf("exit %d, stdout %q, stderr %q, asked %q", code, out, errs, n.asked)
			}
		})
	}
	n.mu.Lock()
	n.asked, n.err = nil, nil
	n.mu.Unlock()
	for args, want := range map[string]string{
		"yield":                      "GROUP is missing: `vipctl yield [flags] GROUP`",
		"yield eth0@1 eth1@2":        "\"eth1@2\" is one argument too many",
		"yield eth0@1 --now":         "there is no flag --now; see `vipctl yield --help`",
		"yield eth0@1 --force=maybe": `--force "maybe" is not true or false; see`,
	} {
		code, out, errs := run(t, Env{}, append([]string{"--socket", socket}, strings.Fields(args)...)...)
		if code != ExitUsage || out != "" || !strings.HasPrefix(errs, "vipctl: "+want) || n.asked != nil {
			t.Errorf("%s: exit %d, %q, asked %q", args, code, errs, n.asked)
		}
	}
}
