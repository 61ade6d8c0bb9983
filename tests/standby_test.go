// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/tests/lab"
)

// reported is longer than a report counts, and than a new MASTER waits for the first one.
const reported = 10*time.Second + patience

// says waits until the output of a command has all words.
func (p *pair) says(n *lab.Node, command string, words ...string) {
	p.Helper()
	args := strings.Fields(command)
	p.Eventually(reported, 300*time.Millisecond, func() (bool, string) {
		_, out := n.CTL(args...)
		for _, w := range words {
			if !strings.Contains(out, w) {
				return false, "`vipctl " + command + "` says " + w + ", not\n" + out
			}
		}
		return true, ""
	})
}

// What an operator reads of a standby while it stands by, is in maintenance, differs, and is dead.
func TestOperatorReadsWhoWouldTakeOver(t *testing.T) {
	t.Parallel()
	other := oneVIP(100)
	other.NoPreempt = true
	p := newPair(t, oneVIP(0), other)
	p.a.Start()
	p.a.WaitAnswering(group, upTimeout)
	if out := p.a.Metrics(); strings.Contains(out, "\nvipd_group_standbys{") {
		t.Error("vipd_group_standbys of a node that never heard another")
	}
	p.says(p.a, "status", "STANDBY", "none")
	if _, out := p.a.CTL("status"); strings.Contains(out, "no_standby") {
		t.Errorf("a single node has a fault:\n%s", out)
	}
	p.b.Start()
	p.says(p.a, "status", "b 1/100", "preempt is true here and false on b")
	p.says(p.a, "show "+group, "b 1/100 from 192.0.2.12, takes over in 3.4 s")
	p.says(p.a, "why "+group, "b (192.0.2.12, 1/100) would take over 3.390 s after this node's last advert")
	p.says(p.a, "peers", "b     eth0@1  192.0.2.12  BACKUP  1/100      3.4 s", api.Version)
	p.says(p.b, "peers", "a     eth0@1  192.0.2.11  MASTER  1/0        -")
	p.says(p.b, "status", "BACKUP  -")
	for _, line := range []string{
		`vipd_group_standbys{interface="eth0",vhid="1"} 1`, `vipd_peer_info{address="192.0.2.12",node="b",version="`,
		`vipd_peer_last_seen_seconds{node="b"} `,
	} {
		if out := p.a.Metrics(); !strings.Contains(out, "\n"+line) {
			t.Errorf("no %s in\n%s", line, out)
		}
	}
	if out := p.b.Metrics(); strings.Contains(out, "\nvipd_group_standbys{") {
		t.Error("a BACKUP counts standbys")
	}
	if code, out := p.a.CTL("doctor", "--for", "1"); code != 4 || !strings.Contains(out, "config_differs") {
		t.Errorf("doctor: exit %d\n%s", code, out)
	}

	if out := p.a.MustCTL("maintenance", "enter"); !strings.HasPrefix(out,
		group+": b (192.0.2.12, 1/100) does not preempt a living master\n") {
		t.Errorf("before maintenance:\n%s", out)
	}
	p.a.MustCTL("maintenance", "leave")
	if out := p.a.MustCTL("yield", group); !strings.HasPrefix(out, group+": b (192.0.2.12, 1/100) takes over\n") ||
		!strings.Contains(out, "192.0.2.12 took over after") {
		t.Errorf("before a handover:\n%s", out)
	}
	p.says(p.b, "status", "a 1/0")

	p.a.MustCTL("maintenance", "enter")
	p.b.MustCTL("maintenance", "enter")
	p.says(p.b, "status", "a 1/240", "both in maintenance mode")
	p.a.Kill9()
	p.says(p.b, "status", "none", "eth0@1 (no_standby): run `vipctl doctor`")
	p.says(p.b, "peers", "(BACKUP)")
	if out := p.b.Metrics(); !strings.Contains(out, "\n"+`vipd_group_standbys{interface="eth0",vhid="1"} 0`) {
		t.Errorf("the metric of a lost standby:\n%s", out)
	}
	p.b.Stop() // with a goodbye
	p.b.Start()
	p.b.WaitAnswering(group, upTimeout)
	p.says(p.b, "status", "none", "no_standby") // also after a restart
	if out := p.b.MustCTL("disable"); !strings.HasPrefix(out, group+": no other node stands by\n") {
		t.Errorf("before disable:\n%s", out)
	}
	var st api.Status
	out := p.b.MustCTL("status", "-o", "json")
	if err := json.Unmarshal([]byte(out), &st); err != nil || len(st.Groups) != 1 || st.Groups[0].Standbys == nil {
		t.Errorf("%v: the standbys are not a list in\n%s", err, out)
	}
}

// Beside ucarp nothing is claimed: not that it stands by, and not that it does not.
func TestStandbyBesideUCARPIsUnknown(t *testing.T) {
	t.Parallel()
	u := newUCARPPair(t, oneVIP(100), lab.UCARP{AdvSkew: 50})
	u.startUCARP()
	u.waitUCARP(lab.Master, skewed(50)+ucarpGrid+patience)
	u.node.Start()
	u.node.WaitFor(group, "hears ucarp", patience, hearsMaster)
	if out := u.node.MustCTL("status"); !strings.Contains(out, "BACKUP  unknown: the master is no vipd") {
		t.Errorf("status:\n%s", out)
	}
	if out := u.node.MustCTL("peers"); !strings.Contains(out, "not vipd") {
		t.Errorf("peers:\n%s", out)
	}
	u.node.MustCTL("yield", group) // nothing to hand over
	if out := u.node.Metrics(); strings.Contains(out, "\nvipd_group_standbys{") {
		t.Error("standbys are counted beside ucarp")
	}
}

// Nodes whose lists of addresses have nothing in common refuse each other's advertisements, and are both MASTER. Each
// names the addresses nevertheless, and with one list again one of them yields.
func TestNodesWithoutACommonListNameTheAddresses(t *testing.T) {
	t.Parallel()
	with := func(advskew int, addresses ...string) lab.NodeConfig {
		return lab.NodeConfig{Groups: []lab.Group{{Addresses: addresses, AdvSkew: advskew}}}
	}
	const first, second = "192.0.2.100", "192.0.2.101"
	p := newPair(t, with(0, first+"/24"), with(100, second+"/24"))
	p.a.Start()
	p.b.Start()
	p.a.WaitState(group, lab.Master, upTimeout)
	p.b.WaitState(group, lab.Master, upTimeout)
	p.says(p.a, "peers", "b     eth0@1  192.0.2.12  MASTER", "only b has "+second, "only this node has "+first)
	p.says(p.b, "peers", "a     eth0@1  192.0.2.11  MASTER", "only a has "+first, "only this node has "+second)
	if code, out := p.a.CTL("doctor", "--for", "3"); code != 4 || !strings.Contains(out, "addresses_differ") ||
		!strings.Contains(out, second) {
		t.Errorf("doctor: exit %d\n%s", code, out)
	}
	reload(p.b, with(100, first+"/24"))
	p.b.WaitState(group, lab.Backup, upTimeout)
	p.says(p.a, "status", "b 1/100")
}
