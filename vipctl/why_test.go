// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
)

func TestWhy(t *testing.T) {
	configured := 0
	n := &node{status: healthy(), why: map[string]api.Why{}}
	for _, g := range n.status.Groups {
		n.why[g.Name] = api.Why{
			Group:   g.Name,
			State:   api.StateInit,
			Reason:  "link_down",
			Since:   testNow().Add(-time.Minute),
			Because: []string{"interface has no link"},
			Changes: []string{"the cause above is mended"},
		}
	}
	n.why["eth10@1"] = api.Why{
		Group:    "eth10@1",
		State:    api.StateBackup,
		Reason:   "demoted",
		Since:    testNow().Add(-time.Hour),
		Because:  []string{"192.0.2.12 is MASTER, heard 0.5 s ago", "demoted by 240 (maintenance)"},
		Changes:  []string{"the demotion ends (maintenance)"},
		Takeover: "192.0.2.12 would take it back with its next advert",
		Ours: api.Standing{
			AdvBase:           1,
			AdvSkew:           240,
			ConfiguredAdvSkew: &configured,
			Demote:            240,
			IntervalSeconds:   1.9375,
		},
		Theirs: &api.Standing{
			Address:         "192.0.2.12",
			AdvBase:         1,
			AdvSkew:         10,
			IntervalSeconds: 1.0390625,
			LastSeen:        testNow().Add(-time.Second / 2),
		},
		Superior:          true,
		Preempt:           true,
		Demotion:          240,
		Demotions:         []api.Demotion{},
		MasterDownSeconds: 3,
		Waiting:           "master down",
		WaitingSeconds:    2.5,
	}
	socket := n.serve(t)
	_, out, _ := run(t, Env{}, "--socket", socket, "why")
	golden(t, "why", out)
	_, out, _ = run(t, Env{}, "--socket", socket, "why", "eth10@1", "-o", "json")
	golden(t, "why-json", out)
	if _, out, _ = run(t, Env{}, "--socket", socket, "why", "-o", "json"); !strings.HasPrefix(out, "[\n") ||
		strings.Count(out, `"takeover"`) != 3 {
		t.Errorf("all as JSON: %s", out)
	}
	if code, _, errs := run(t, Env{}, "--socket", socket, "why", "eth9@9"); code != ExitFailure ||
		errs != "vipctl: there is no group eth9@9; there are eth2@3, eth2@20, eth10@1\n" {
		t.Errorf("exit %d, %q", code, errs)
	}
	n.status.Groups = nil
	if _, out, _ := run(t, Env{}, "--socket", socket, "why"); out != "No virtual IPs are configured.\n" {
		t.Errorf("none: %q", out)
	}
}
