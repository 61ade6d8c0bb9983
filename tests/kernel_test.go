// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"
)

// Changes that other processes make to the host's network.

// bringUp makes the node MASTER by a goodbye, as soon as it is BACKUP.
func (s *single) bringUp() {
	s.Helper()
	s.port.AwaitCarrier()
	s.node.WaitState(group, lab.Backup, patience)
	newPeer(s.clientPort, addrClient).goodbye()
	s.node.WaitAnswering(group, patience)
}

// assertGone checks that the group is in INIT, says why and what to do, has left nothing on the interface, and that
// nobody answers for the address.
func (s *single) assertGone(t *testing.T, stage string, where *lab.Host, ifname string, says ...string) {
	t.Helper()
	g := s.node.WaitState(group, lab.Init, patience)
	if g.Reason != "interface_missing" {
		t.Errorf("%s: INIT for the reason %q, want interface_missing", stage, g.Reason)
	}
	for _, word := range says {
		if !strings.Contains(g.Detail, word) {
			t.Errorf("%s: %q is not in: %s", stage, word, g.Detail)
		}
	}
	s.Eventually(
		patience,
		5*time.Millisecond,
		func() (bool, string) { return !receives(t, where, ifname), "the program is off " + ifname },
	)
	if where.HasAddress(ifname, vip) || len(where.UnicastFilter(ifname)) > 0 {
		t.Errorf(
			"%s: left on %s: address %v, filter %v",
			stage,
			ifname,
			where.HasAddress(ifname, vip),
			where.UnicastFilter(ifname),
		)
	}
	if answers := s.clientPort.AskARP(addrClient, vip, 200*time.Millisecond); len(answers) > 0 {
		t.Errorf("%s: still answered:\n%v", stage, answers)
	}
}

// The master's interface is renamed, moved to another namespace, deleted: each time the group says what happened,
// nobody answers for the address, and the group comes back with the interface.
func TestGroupReturnsWithARenamedMovedOrDeletedInterface(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	elsewhere := s.NewHost("elsewhere")
	s.startMaster()
	served := func(stage string) {
		t.Helper()
		s.bringUp()
		if answers := s.clientPort.AnswersARP(addrClient, vip, 200*time.Millisecond); len(answers) != 1 {
			t.Errorf("%s: %d answers for the address, want one:\n%v", stage, len(answers), answers)
		}
	}

	s.node.Rename("eth0", "wan0")
	s.assertGone(t, "renamed", s.node.Host, "wan0", "eth0 is called wan0 now", "ip link set wan0 name eth0")
	if answers := s.clientPort.AnswersARP(addrClient, addrA, 500*time.Millisecond); len(answers) != 1 { // the control
		t.Errorf("renamed: %d answers for the host's own address, want one: is the interface up?", len(answers))
	}
	s.node.Rename("wan0", "eth0")
	served("renamed back")

	s.node.MoveTo(elsewhere, "eth0")
	elsewhere.SetUp("eth0")
	elsewhere.AddAddress("eth0", addrA.String()+"/24")
	s.assertGone(t, "moved away", elsewhere, "eth0", "does not exist")
	s.Eventually(patience, 20*time.Millisecond, func() (bool, string) { // the control
		return len(s.clientPort.AskARP(addrClient, addrA, 100*time.Millisecond)) == 1, "the moved interface answers"
	})
	elsewhere.MoveTo(s.node.Host, "eth0")
	s.node.SetUp("eth0")
	s.node.AddAddress("eth0", addrA.String()+"/24")
	served("moved back")

	s.port.Unplug()
	g := s.node.WaitState(group, lab.Init, patience)
	if g.Reason != "interface_missing" || !strings.Contains(g.Detail, "does not exist") {
		t.Errorf("deleted: INIT for the reason %q: %s", g.Reason, g.Detail)
	}
	s.port = s.segment.Join(s.node.Host, "eth0", addrA.String()+"/24")
	served("made anew")
	s.node.Stop()
	if receives(t, s.node.Host, "eth0") || s.node.HasAddress("eth0", vip) {
		t.Error("something is left after the stop")
	}
}

// A host's own address is changed, taken away and given back while it is MASTER: its adverts come from the address it
// has, nobody changes state, and its own advert from the new address is still known as a loop.
func TestHostAddressChangedWhileMasterMovesNothing(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(10))
	p.start()
	a, b := p.a.Group(group), p.b.Group(group)
	sniffer := p.portA.Sniff()
	injector := p.clientPort.Injector()
	other, none := netip.MustParseAddr("192.0.2.31"), netip.IPv4Unspecified()
	for i, stage := range []struct {
		change func()
		from   netip.Addr
	}{
		{func() { p.a.DelAddress("eth0", addrA.String()+"/24"); p.a.AddAddress("eth0", other.String()+"/24") }, other},
		{func() { p.a.DelAddress("eth0", other.String()+"/24") }, none},
		{func() { p.a.AddAddress("eth0", addrA.String()+"/24") }, addrA},
	} {
		changed := time.Now()
		stage.change()
		own := sniffer.Await(patience, "an advert from "+stage.from.String(), func(f lab.Frame) bool {
			ad, ok := f.Advert()
			return ok && f.FromHost && f.At.After(changed) && ad.Src == stage.from
		})
		p.b.WaitFor(group, "hears it", patience, func(g lab.GroupStatus) bool {
			return g.Master.Address == stage.from.String()
		})
		injector.Send(own.Data)
		p.a.WaitFor(
			group,
			"knows its own advert",
			patience,
			func(g lab.GroupStatus) bool { return g.Counters.Rejected["loop"] == uint64(i+1) },
		)
		pinger := p.client.Ping(vip, 10*time.Millisecond)
		pinger.AwaitAnswer(time.Now(), patience)
		pinger.Stop()
	}
	assertUnmoved(t, map[*lab.Node]lab.GroupStatus{p.a: a, p.b: b})
}

// The NIC of a MASTER is given another address: what comes to the virtual MAC goes on to the host, requests that are
// sent to the NIC alone are answered, and nobody changes state. The same of a BACKUP that takes over afterwards.
func TestNICAddressChangedMovesNothing(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(10))
	p.start()
	a, b := p.a.Group(group), p.b.Group(group)
	pinger := p.client.Ping(vip, 10*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)
	serves := func(n *lab.Node, port *lab.Port, mac [6]byte) {
		t.Helper()
		n.MustRun(toolTimeout, "ip", "link", "set", "eth0", "address", net.HardwareAddr(mac[:]).String())
		changed := time.Now()
		port.MAC = mac
		if n == p.b {
			return
		}
		pinger.AwaitAnswer(changed, patience)
		p.Eventually(patience, 50*time.Millisecond, func() (bool, string) {
			before := n.Group(group).Counters.ARPReplies
			request := lab.ARPRequest(p.clientPort.MAC, addrClient, vip)
			copy(request, mac[:])
			p.clientPort.Injector().Send(request)
			time.Sleep(20 * time.Millisecond)
			return n.Group(group).Counters.ARPReplies > before, "a request to the NIC's new address alone is answered"
		})
	}
	serves(p.a, p.portA, [6]byte{2, 0, 0, 0, 0x77, 1})
	serves(p.b, p.portB, [6]byte{2, 0, 0, 0, 0x77, 2})
	time.Sleep(1500 * time.Millisecond)
	assertUnmoved(t, map[*lab.Node]lab.GroupStatus{p.a: a, p.b: b})
	p.a.Stop()
	p.b.WaitAnswering(group, patience)
	pinger.AwaitAnswer(time.Now(), patience)
	if r := pinger.Stop(); r.Lost > 20 {
		t.Errorf("client: %v", r)
	}
}

// The kernel has more to tell than the daemon's socket can hold while it is stopped, and the one change that matters
// comes after it is full: the daemon reads everything again and goes by what is there now.
func TestLostNetlinkEventsAreMadeUpFor(t *testing.T) {
	t.Parallel()
	// A busy machine makes the changes in some seconds, and the lease has to outlast them.
	config := func(advskew int) lab.NodeConfig {
		c := oneVIP(advskew)
		c.Groups[0].AdvBase = 10
		return c
	}
	p := newPair(t, config(0), config(10))
	p.start()
	a, b := p.a.Group(group), p.b.Group(group)
	other := netip.MustParseAddr("192.0.2.31")
	sniffer := p.portA.Sniff()

	paused := p.a.Pause()
	for range 2000 {
		p.a.AddAddress("lo", "10.1.1.1/32")
		p.a.DelAddress("lo", "10.1.1.1/32")
	}
	p.a.DelAddress("eth0", addrA.String()+"/24")
	p.a.AddAddress("eth0", other.String()+"/24")
	resumed := p.a.Resume()
	t.Logf("stopped for %v", resumed.Sub(paused))

	p.Eventually(patience, 10*time.Millisecond, func() (bool, string) { // the control
		return strings.Contains(p.a.Proc().Output(), "no buffer space available"), "the daemon says that events were lost"
	})
	sniffer.Await(patience, "an advert from the new address", func(f lab.Frame) bool {
		ad, ok := f.Advert()
		return ok && f.FromHost && f.At.After(resumed) && ad.Src == other
	})
	assertUnmoved(t, map[*lab.Node]lab.GroupStatus{p.a: a, p.b: b})
}
