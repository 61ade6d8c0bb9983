// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
)

func eventful() api.History {
	at := testNow().Add(-time.Hour)
	return api.History{Transitions: []api.Transition{
		{Time: at, Group: "eth0@1", From: api.StateInit, To: api.StateBackup, Reason: "startup"},
		{
			Time:       at.Add(3001 * time.Millisecond),
			Group:      "eth0@1",
			From:       api.StateBackup,
			To:         api.StateMaster,
			Reason:     "master_timeout",
			LagSeconds: 0.00012,
			Generation: 1,
		},
		{
			Time:  at.Add(time.Minute),
			Group: "eth10@200", From: api.StateMaster, To: api.StateBackup, Reason: "better_advert", LagSeconds: 0.35,
			Cause: &api.Cause{Address: "192.0.2.12", AdvBase: 1, AdvSkew: 20}, Generation: 7,
		},
		{
			Time:  at.Add(2 * time.Minute),
			Group: "eth10@200", From: api.StateBackup, To: api.StateMaster, Reason: "demoted", LagSeconds: 1.25,
			Cause: &api.Cause{Address: "2001:db8::12", AdvBase: 1, AdvSkew: 240, Demote: 240}, Generation: 8,
		},
		{
			Time:       at.Add(3 * time.Minute),
			Group:      "eth0@1",
			From:       api.StateMaster,
			To:         api.StateInit,
			Reason:     "link_down",
			Detail:     "interface eth0 has no link",
			Generation: 1,
		},
	}}
}

func TestHistory(t *testing.T) {
	n := &node{status: healthy()}
	socket := n.serve(t)
	show := func(args ...string) (int, string, string) {
		t.Helper()
		n.mu.Lock()
		n.asked = nil
		n.mu.Unlock()
		return run(t, Env{}, append([]string{"--socket", socket, "history"}, args...)...)
	}
	if code, out, errs := show(); code != ExitOK || out != "Nothing happened yet.\n" || errs != "" {
		t.Errorf("nothing: exit %d, %q, %q", code, out, errs)
	}
	n.history = eventful()
	_, out, _ := show()
	golden(t, "history", out)
	_, out, _ = show("-o", "json")
	golden(t, "history-json", out)
	for args, want := range map[string]string{
		"":            "history  0",
		"-n 5":        "history  5",
		"eth0@1":      "history eth0@1 0",
		"eth0@1 -n 5": "history eth0@1 5",
		"-n 5 eth0@1": "history eth0@1 5",
	} {
		if code, _, errs := show(strings.Fields(args)...); code != ExitOK || strings.Join(n.asked, ",") != want {
			t.Errorf("%q: exit %d, asked %q, want %q: %s", args, code, n.asked, want, errs)
		}
	}
	for args, want := range map[string]string{
		"-n 0":          "-n 0 is not allowed; allowed are numbers from 1",
		"-n x":          `-n "x" is not a number`,
		"eth0@1 eth1@1": "\"eth1@1\" is one argument too many: `vipctl history [flags] [GROUP]`",
		"-o wide":       `--output "wide" is unknown`,
	} {
		if code, out, errs := show(strings.Fields(args)...); code != ExitUsage || out != "" ||
			!strings.HasPrefix(errs, "vipctl: "+want) {
			t.Errorf("%q: exit %d, %q", args, code, errs)
		}
	}
	n.history.Damaged, n.history.Unsaved = 2, "no space left on device"
	if code, _, errs := show(); code != ExitOK ||
		errs != "vipctl: damaged lines of earlier runs that were skipped: 2\n"+
			"vipctl: the history is not on disk and is lost when vipd exits: no space left on device\n" {
		t.Errorf("exit %d, %q", code, errs)
	}
}

func TestEvents(t *testing.T) {
	past := eventful().Transitions[1]
	n := &node{status: healthy(), events: []api.Event{{Time: past.Time, Event: api.EventTransition, Transition: &past}}}
	socket := n.serve(t)
	code, out, errs := run(t, Env{}, "--socket", socket, "events")
	if code != ExitUnreachable || !strings.Contains(errs, "it ended the stream of events") { // the fake ends it
		t.Errorf("exit %d, %q", code, errs)
	}
	golden(t, "events", out)
	n.events = append(n.events, api.Event{Time: past.Time, Event: api.EventDropped})
	code, out, errs = run(t, Env{}, "--socket", socket, "events")
	if code != ExitFailure || strings.Count(out, "\n") != 3 ||
		!strings.HasPrefix(errs, "vipctl: vipd dropped this reader, which did not keep up") {
		t.Errorf("dropped: exit %d, %q, %q", code, out, errs)
	}
}
