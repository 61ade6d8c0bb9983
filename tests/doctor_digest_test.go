// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/tests/lab"
)

// examine runs `vipctl doctor` on a node. It must end with 4 if and only if something was found.
func examine(t *testing.T, n *lab.Node, args ...string) api.Doctor {
	t.Helper()
	if args == nil {
		args = []string{"--for", "2"} // of two intervals, each of a second
	}
	code, out := n.CTL(append([]string{"doctor", "-o", "json"}, args...)...)
	var d api.Doctor
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatalf("exit code %d, %v in:\n%s", code, err, out)
	}
	if want := map[bool]int{true: 4, false: 0}[len(d.Findings) > 0]; code != want {
		t.Errorf("%d findings and exit code %d, want %d", len(d.Findings), code, want)
	}
	return d
}

func codesOf(d api.Doctor) []string {
	out := make([]string, 0, len(d.Findings))
	for _, f := range d.Findings {
		out = append(out, f.Code)
	}
	return out
}

// finding returns the finding of that code and group. Any other finding whose code is not in also fails the test.
func finding(t *testing.T, d api.Doctor, code, group string, also ...string) api.Finding {
	t.Helper()
	var out api.Finding
	for _, f := range d.Findings {
		switch {
		case f.Code == code && f.Group == group:
			out = f
		case !slices.Contains(also, f.Code):
			t.Errorf("also found: %+v", f)
		}
	}
	if out.Code == "" {
		t.Errorf("%s of %s was not found, but %+v", code, group, d.Findings)
	}
	return out
}

// says holds the cause to the words that name what is wrong.
func says(t *testing.T, f api.Finding, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(f.Cause, w) {
			t.Errorf("%s: the cause does not name %q: %s", f.Code, w, f.Cause)
		}
	}
	if f.Advice == "" || len(f.Evidence) == 0 {
		t.Errorf("%s without advice or evidence: %+v", f.Code, f)
	}
}

// Groups of one node that each differ from their peer's in another way: the doctor of one node names all of them.
func TestDoctorNamesWhatTheDigestsDifferBy(t *testing.T) {
	t.Parallel()
	mine := func(vhid int, password string, addresses ...string) lab.Group {
		return lab.Group{VHID: vhid, Password: password, Addresses: addresses}
	}
	p := newPair(t,
		lab.NodeConfig{Groups: []lab.Group{
			mine(1, "", "192.0.2.100/24", "192.0.2.101/24"),
			mine(2, "", "192.0.2.110/24"),
			mine(3, "", "192.0.2.120/24"),
			mine(4, "one password", "192.0.2.130/24"),
			mine(5, "", "192.0.2.140/24"),
			mine(6, "a b", "192.0.2.150/24"),
		}},
		lab.NodeConfig{Groups: []lab.Group{
			mine(1, "", "192.0.2.100/24"),
			mine(2, "", "192.0.2.110/24", "198.51.100.7/24"),
			mine(3, "", "192.0.2.121/24"),
			mine(4, "another password", "192.0.2.130/24"),
			mine(5, "", "192.0.2.140/24"),
			mine(6, "ab", "192.0.2.150/24"),
		}},
	)
	asShipped(t, p.a, p.b)
	p.a.Start()
	p.b.Start()
	for _, g := range []string{"eth0@1", "eth0@2", "eth0@3", "eth0@4", "eth0@6"} {
		p.a.WaitAnswering(g, upTimeout)
		p.b.WaitAnswering(g, upTimeout)
	}
	start := time.Now()
	d := examine(t, p.a)
	t.Logf("took %v, watched %.1f s", time.Since(start), d.WatchedSeconds)
	all := []string{"addresses_differ", "password_differs"}
	says(t, finding(t, d, "addresses_differ", "eth0@1", all...), "192.0.2.12", "lacks 192.0.2.101,")
	says(t, finding(t, d, "addresses_differ", "eth0@2", all...), "192.0.2.12", "has 198.51.100.7,")
	says(t, finding(t, d, "addresses_differ", "eth0@3", all...), "192.0.2.12", "lacks 192.0.2.120,", "has 192.0.2.121,")
	says(t, finding(t, d, "password_differs", "eth0@4", all...), "192.0.2.12", "another password")
	says(t, finding(t, d, "password_differs", "eth0@6", all...), "192.0.2.12", "without its blanks")
	if len(d.Findings) != 5 {
		t.Errorf("%d findings, want 5: the fifth group is alike on both nodes", len(d.Findings))
	}
	// The status says to ask, and the other node sees the mirror image.
	if out := p.a.MustCTL("status"); !strings.Contains(out, "eth0@1 (signature_refused)") ||
		!strings.Contains(out, "run `vipctl doctor`") {
		t.Errorf("the status does not say to ask the doctor:\n%s", out)
	}
	p.b.WriteConfig(
		lab.NodeConfig{Groups: []lab.Group{mine(1, "", "192.0.2.100/24", "192.0.2.101/24", "198.51.100.1/24")}},
	)
	p.b.MustCTL("reload")
	says(t, finding(t, examine(t, p.b), "addresses_differ", "eth0@1", all...), "192.0.2.11", "has another",
		"lacks 198.51.100.1,")
}

// ucarp answers for an address with its host's own MAC, and knows one address for each VHID: the one is in order, the
// other is what goes wrong with it most.
func TestDoctorFindsNoConflictWithUCARP(t *testing.T) {
	t.Parallel()
	config := oneVIP(100)
	config.Groups = append(
		config.Groups,
		lab.Group{VHID: 2, Addresses: []string{"192.0.2.102/24", "192.0.2.103/24"}, AdvSkew: 100},
	)
	u := newUCARPPair(t, config, lab.UCARP{})
	asShipped(t, u.node)
	u.startUCARP()
	u.other.StartUCARP(lab.UCARP{SrcIP: addrB.String(), VIP: "192.0.2.102", VHID: 2})
	u.waitUCARP(lab.Master, skewed(0)+ucarpGrid+patience)
	u.node.Start()
	u.node.WaitAnswering("eth0@2", upTimeout)
	u.node.WaitFor(group, "is BACKUP and hears ucarp", patience, hearsMaster)
	says(t, finding(t, examine(t, u.node), "addresses_differ", "eth0@2"), addrB.String(), "lacks 192.0.2.103,")
}
