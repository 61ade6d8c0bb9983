// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"strings"
	"testing"

	"vipd/agent/control/api"
)

func TestDoctor(t *testing.T) {
	n := &node{status: healthy(), examined: api.Doctor{
		Node: "fw1", Time: testNow(), WatchedSeconds: 3.04,
		Findings: []api.Finding{},
		Checks: []api.DoctorCheck{
			{Code: "addresses_differ", What: "the peers' address lists agree with this node's", Result: api.CheckOK},
			{
				Code:   "nothing_heard",
				What:   "no unheard node answers for the addresses",
				Result: api.CheckOK,
				Note:   "eth0@1: no other node was ever heard",
			},
			{
				Code:   "mac_filter",
				What:   "the NIC's receive filter has the virtual MAC",
				Result: api.CheckSkipped,
				Note:   "not permitted",
			},
		},
	}}
	socket := n.serve(t)
	code, out, errs := run(t, Env{}, "--socket", socket, "doctor")
	if code != ExitOK || errs != "" {
		t.Errorf("healthy: exit %d, %q", code, errs)
	}
	golden(t, "doctor-healthy", out)

	n.examined.Findings = []api.Finding{
		{
			Code:     "addresses_differ",
			Severity: api.SeverityFault,
			Group:    "eth0@1",
			Cause:    "192.0.2.12 has another list.",
			Evidence: []string{"3 adverts refused", "two masters"},
			Advice:   "Make them the same.",
		},
		{
			Code:     "starved",
			Severity: api.SeverityWarning,
			Cause:    "vipd is not scheduled in time.",
			Evidence: []string{},
			Advice:   "Give it more.",
		},
		{
			Code:     "reflected",
			Severity: api.SeverityWarning,
			Group:    "eth0@1",
			Cause:    "Own adverts come back.",
			Evidence: []string{},
			Advice:   "Look for a loop.",
		},
	}
	n.examined.Checks[0].What = "a peer's address list differs from this node's"
	n.examined.Checks[0].Result = api.CheckFound
	code, out, errs = run(t, Env{Terminal: true}, "--socket", socket, "doctor", "--for", "7")
	if code != ExitDegraded || !strings.Contains(errs, "watching") {
		t.Errorf("faults: exit %d, %q", code, errs)
	}
	if last := n.asked[len(n.asked)-1]; last != "doctor 7" {
		t.Errorf("asked %q", last)
	}
	golden(t, "doctor", out)
	code, out, errs = run(t, Env{}, "--socket", socket, "doctor", "-o", "json")
	if code != ExitDegraded || errs != "" || !strings.Contains(out, `"code": "starved"`) {
		t.Errorf("json: exit %d, %q\n%s", code, errs, out)
	}
	for _, args := range [][]string{{"--for", "0"}, {"--for", "31"}, {"eth0@1"}, {"-o", "wide"}} {
		if code, _, _ := run(t, Env{}, append([]string{"--socket", socket, "doctor"}, args...)...); code != ExitUsage {
			t.Errorf("%q: exit %d", args, code)
		}
	}
	n.err = api.Errorf(api.CodeInternal, "no netlink")
	if code, _, errs := run(t, Env{}, "--socket", socket, "doctor"); code != ExitFailure ||
		errs != "vipctl: no netlink\n" {
		t.Errorf("the examination failed: exit %d, %q", code, errs)
	}
}

// The status and a group suggest `vipctl doctor` if the counters show a fault.
func TestDoctorHint(t *testing.T) {
	n := &node{status: healthy()}
	socket := n.serve(t)
	if _, out, _ := run(t, Env{}, "--socket", socket, "status"); strings.Contains(out, "doctor") {
		t.Errorf("healthy: %s", out)
	}
	for i := range n.status.Groups {
		if g := &n.status.Groups[i]; g.State != api.StateInit {
			g.Faults = []string{"signature_refused", "peer_deaf"}
			break
		}
	}
	const want = " (signature_refused, peer_deaf): run `vipctl doctor`."
	_, out, _ := run(t, Env{}, "--socket", socket, "status")
	if !strings.Contains(out, "Something is wrong with ") || !strings.Contains(out, want) {
		t.Errorf("no hint: %s", out)
	}
	if _, out, _ := run(t, Env{}, "--socket", socket, "status", "-o", "json"); !strings.Contains(out, `"faults"`) {
		t.Errorf("not in the JSON: %s", out)
	}
	for i := range n.status.Groups {
		if g := n.status.Groups[i]; g.Faults != nil {
			_, out, _ := run(t, Env{}, "--socket", socket, "show", g.Name)
			if !strings.Contains(out, "signature_refused, peer_deaf: run `vipctl doctor`") {
				t.Errorf("show: %s", out)
			}
		}
	}
}
