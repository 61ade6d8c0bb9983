// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"testing"
	"time"

	"vipd/tests/lab"
)

// With broadcast our adverts reach a ucarp that does without multicast (--nomcast): it follows our master and we follow
// it.
func TestUCARPFollowsOurBroadcasts(t *testing.T) {
	t.Parallel()
	u := newUCARPPair(t, withExtra(oneVIP(0), "broadcast = true\n"), lab.UCARP{AdvSkew: 50, NoMcast: true})
	ours, theirs := u.port.Sniff(), u.otherPort.Sniff()
	u.startMaster()
	u.startUCARP()
	time.Sleep(5 * time.Second) // longer than its master-down time: it hears us
	if got := lab.UCARPState(u.peer); got == lab.Master {
		t.Fatalf("ucarp is %s beside our master:\n%s", got, u.peer.Output())
	}
	u.assertServed(t)
	killed := u.node.Kill9()
	u.waitUCARP(lab.Master, skewed(50)+ucarpGrid)
	t.Logf("ucarp took over %v after kill -9", time.Since(killed))
	u.assertServed(t)

	u.node.Start() // preempts: we hear it
	g := u.node.WaitAnswering(group, patience)
	if g.Reason != "preempt" {
		t.Errorf("we are MASTER for the reason %q, want preempt", g.Reason)
	}
	u.waitUCARP(lab.Backup, time.Second+ucarpGrid)
	u.assertServed(t)
	for name, adverts := range map[string]lab.Frames{
		"we":    ours.Frames().FromHost().Adverts(vhid),
		"ucarp": theirs.Frames().FromHost().Adverts(vhid),
	} {
		if len(adverts) == 0 {
			t.Errorf("%s sent nothing: the test proves nothing", name)
		}
		for _, f := range adverts {
			if f.Dst() != lab.Broadcast {
				t.Errorf("%s: %v", name, f)
			}
		}
	}
}

// ucarp is master without multicast, and we take over when it dies.
func TestWeFollowUCARPWithBroadcast(t *testing.T) {
	t.Parallel()
	u := newUCARPPair(t, withExtra(oneVIP(50), "broadcast = true\n"), lab.UCARP{Preempt: true, NoMcast: true})
	u.startUCARP()
	u.waitUCARP(lab.Master, patience)
	u.node.Start()
	u.node.WaitFor(group, "hears ucarp", patience, func(g lab.GroupStatus) bool {
		return g.State == lab.Backup && g.Master != nil && g.Master.Address == addrB.String()
	})
	time.Sleep(4 * time.Second)
	if g := u.node.Group(group); g.State != lab.Backup {
		t.Fatalf("we are %s beside ucarp's master", g.State)
	}
	u.peer.Kill9()
	u.other.DelAddress("eth0", vip.String()+"/32") // a killed ucarp leaves it: its fault, not ours
	u.node.WaitAnswering(group, patience)
	u.assertServed(t)
}
