// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"vipd/tests/lab"
)

// ucarpGrid is how late ucarp may react to a packet (its capture's read time-out), with some air for a busy machine.
const ucarpGrid = 1500 * time.Millisecond

// ucarpPair is our node a and a ucarp on host b.
type ucarpPair struct {
	*single
	other     *lab.Host
	otherPort *lab.Port
	peer      *lab.Proc
	config    lab.UCARP
}

func newUCARPPair(t *testing.T, ours lab.NodeConfig, theirs lab.UCARP) *ucarpPair {
	t.Helper()
	require(t, needUCARP)
	u := &ucarpPair{single: newSingle(t, ours)}
	u.other = u.NewHost("b")
	u.otherPort = u.segment.Join(u.other, "eth0", addrB.String()+"/24")
	theirs.SrcIP, theirs.VIP = addrB.String(), vip.String()
	u.config = theirs
	return u
}

func (u *ucarpPair) startUCARP() { u.peer = u.other.StartUCARP(u.config) }

func (u *ucarpPair) waitUCARP(state string, timeout time.Duration) {
	u.Helper()
	u.Eventually(timeout, 10*time.Millisecond, func() (bool, string) {
		return lab.UCARPState(u.peer) == state &&
			u.other.HasAddress("eth0", vip) == (state == lab.Master), "ucarp is " + state + "\n" + u.peer.Output()
	})
}

// The VIP answers the client now, and ucarp heard nothing it complains about.
func (u *ucarpPair) assertServed(t *testing.T) {
	t.Helper()
	p := u.client.Ping(vip, 10*time.Millisecond)
	p.AwaitAnswer(time.Now(), patience)
	p.Stop()
	if strings.Contains(u.peer.Output(), "Bad") {
		t.Errorf("ucarp complains:\n%s", u.peer.Output())
	}
}

// We are master, ucarp follows: after kill -9 in its master-down time, after a graceful stop at once; and each time we
// come back we preempt and it gives way.
func TestUCARPFollowsOurMaster(t *testing.T) {
	t.Parallel()
	u := newUCARPPair(t, oneVIP(0), lab.UCARP{AdvSkew: 50})
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

	u.node.Start() // preempts
	u.node.WaitAnswering(group, patience)
	u.waitUCARP(lab.Backup, 1*time.Second+ucarpGrid)
	u.assertServed(t)

	pinger := u.client.Ping(vip, pingSpacing)
	pinger.AwaitAnswer(time.Now(), patience)
	stopped := u.node.Stop()
	u.waitUCARP(lab.Master, ucarpGrid)
	took := time.Since(stopped)
	pinger.AwaitAnswer(time.Now(), patience)
	r := pinger.Stop()
	t.Logf("ucarp took over %v after a graceful stop; client: %v", took, r)
	if r.Gap > ucarpGrid+r.Allowance() {
		t.Errorf("the client had no answer for %v, longer than ucarp takes to react", r.Gap)
	}
	u.assertServed(t)

	u.node.Start()
	u.node.WaitAnswering(group, patience)
	u.waitUCARP(lab.Backup, 1*time.Second+ucarpGrid)
	if g := u.node.Group(group); g.Counters.Rejected["bad_hmac"]+g.Counters.Rejected["bad_checksum"] > 0 ||
		g.Counters.Received == 0 {
		t.Errorf("ucarp's adverts: %+v", g.Counters)
	}
}

// ucarp is master, we follow: we take over in our master-down time when it stops (it says no goodbye), give way when it
// preempts, and take over again when it is killed.
func TestWeFollowUCARPsMaster(t *testing.T) {
	t.Parallel()
	u := newUCARPPair(t, oneVIP(50), lab.UCARP{Preempt: true})
	u.startUCARP()
	u.waitUCARP(lab.Master, patience)
	u.node.Start()
	u.node.WaitFor(group, "hears ucarp", patience, func(g lab.GroupStatus) bool {
		return g.State == lab.Backup && g.Master != nil && g.Master.Address == addrB.String()
	})
	since := u.node.Group(group).Since
	time.Sleep(5 * time.Second)
	if g := u.node.Group(group); g.State != lab.Backup || !sameTime(g.Since, since) {
		t.Fatalf("we are %s since %v beside ucarp's master", g.State, g.Since)
	}
	u.assertServed(t)

	sniffer := u.port.Sniff()
	stopped := u.peer.Signal(syscall.SIGTERM) // --shutdown: its script takes the address off
	u.peer.Wait(patience)
	first := sniffer.FirstSpeaking(stopped, patience, vip, vmac)
	u.node.WaitAnswering(group, patience)
	t.Logf("we took over %v after ucarp was told to stop", first.At.Sub(stopped))
	u.assertServed(t)

	u.startUCARP() // preempts
	u.waitUCARP(lab.Master, 2*time.Second+ucarpGrid)
	g := u.node.WaitState(group, lab.Backup, patience)
	if g.Reason != "better_advert" {
		t.Errorf("we gave way for the reason %q, want better_advert", g.Reason)
	}
	if u.node.HasAddress("eth0", vip) {
		t.Error("we still have the address")
	}
	u.assertServed(t)

	u.peer.Kill9()
	u.other.DelAddress("eth0", vip.String()+"/32") // a killed ucarp leaves it: its fault, not ours
	u.node.WaitAnswering(group, patience)
	if g := u.node.Group(group); g.Counters.Rejected["bad_hmac"]+g.Counters.Rejected["bad_checksum"] > 0 ||
		g.Counters.Received < 5 {
		t.Errorf("ucarp's adverts: %+v", g.Counters)
	}
}

// A ucarp that broadcasts its adverts is heard as well.
func TestWeFollowUCARPWithoutMulticast(t *testing.T) {
	t.Parallel()
	u := newUCARPPair(t, oneVIP(50), lab.UCARP{NoMcast: true})
	u.startUCARP()
	u.waitUCARP(lab.Master, patience)
	u.node.Start()
	since := u.node.WaitState(group, lab.Backup, patience).Since
	time.Sleep(skewed(50) + time.Second)
	if g := u.node.Group(group); g.State != lab.Backup || !sameTime(g.Since, since) || g.Counters.Received < 3 {
		t.Errorf("we are %s since %v, was BACKUP since %v; %d adverts received", g.State, g.Since, since, g.Counters.Received)
	}
}

// With different passwords each refuses the other and both become master, which both say.
func TestWrongPasswordIsRefusedByBoth(t *testing.T) {
	t.Parallel()
	u := newUCARPPair(t, oneVIP(0), lab.UCARP{AdvSkew: 50, Password: "another one"})
	u.startMaster()
	u.startUCARP()
	u.waitUCARP(lab.Master, patience)
	u.node.WaitFor(group, "refuses ucarp's adverts", patience, func(g lab.GroupStatus) bool {
		return g.Counters.Rejected["bad_hmac"] >= 2
	})
	// one: our own goodbye that made it MASTER
	if g := u.node.Group(group); g.State != lab.Master || g.Counters.Received != 1 {
		t.Errorf("we are %s, counters %+v", g.State, g.Counters)
	}
	u.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
		return strings.Contains(u.peer.Output(), "Bad digest"), "ucarp refuses our adverts: " + u.peer.Output()
	})
}
