// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"vipd/agent/wire"
	"vipd/tests/lab"
)

var (
	vip6        = netip.MustParseAddr("2001:db8::100")
	addrA6      = netip.MustParseAddr("2001:db8::11")
	addrB6      = netip.MustParseAddr("2001:db8::12")
	addrClient6 = netip.MustParseAddr("2001:db8::50")
)

// withExtra adds keys to the only group.
func withExtra(c lab.NodeConfig, extra string) lab.NodeConfig {
	c.Groups[0].Extra += extra
	return c
}

func withPeers(c lab.NodeConfig, peers ...netip.Addr) lab.NodeConfig {
	list := ""
	for _, p := range peers {
		list += fmt.Sprintf("%q, ", p)
	}
	return withExtra(c, "peers = ["+list+"]\n")
}

// A unicast pair: adverts go to the peer alone, from the virtual MAC, so that the switch learns it; failover after kill
// -9, and back, as with multicast; a planned handover loses next to nothing.
func TestUnicastPairAdvertisesToThePeerAlone(t *testing.T) {
	t.Parallel()
	p := newPair(t, withPeers(oneVIP(0), addrB), withPeers(oneVIP(10), addrA))
	third := p.clientPort.Sniff()
	fromA, fromB := p.portA.Sniff(), p.portB.Sniff()
	p.start()
	both := time.Now()
	if got := p.segment.Learned(vmac); got != p.portA.Name {
		t.Errorf("the bridge believes the virtual MAC behind %q, want %q", got, p.portA.Name)
	}
	pinger := p.client.Ping(vip, 5*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)
	killed := p.a.Kill9()
	p.b.WaitAnswering(group, patience)
	pinger.AwaitAnswer(time.Now(), patience)
	r := pinger.Stop()
	assertGap(t, r, killed, skewed(10)+100*time.Millisecond)
	if got := p.segment.Learned(vmac); got != p.portB.Name {
		t.Errorf("the bridge believes the virtual MAC behind %q, want %q", got, p.portB.Name)
	}

	p.a.Start() // preempts
	p.a.WaitAnswering(group, patience)
	p.b.WaitState(group, lab.Backup, patience)
	time.Sleep(1500 * time.Millisecond)
	pinger = p.client.Ping(vip, 5*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)
	stopped := p.a.Stop()
	t.Logf("a stop with handover took %v", time.Since(stopped))
	p.b.WaitAnswering(group, time.Second)
	time.Sleep(500 * time.Millisecond)
	r = pinger.Stop()
	assertGap(t, r, stopped, 200*time.Millisecond)

	for _, want := range []struct {
		sniffer  *lab.Sniffer
		port     *lab.Port
		src, dst netip.Addr
	}{{fromA, p.portB, addrA, addrB}, {fromB, p.portA, addrB, addrA}} {
		adverts := want.sniffer.Frames().FromHost().Adverts(vhid)
		if len(adverts) < 2 {
			t.Errorf("%d adverts from %v: the test proves nothing", len(adverts), want.src)
		}
		for _, f := range adverts {
			if ad, _ := f.Advert(); f.Src() != vmac || f.Dst() != want.port.MAC || ad.Src != want.src || ad.Dst != want.dst ||
				ad.TTL != 255 {
				t.Errorf("advert %v, to %v with TTL %d", f, ad.Dst, ad.TTL)
			}
		}
	}
	// While both run no stack sees an advert: it would answer "protocol unreachable".
	for _, f := range fromB.Frames().FromHost().After(both).Before(killed) {
		if src, dst, proto, _, _, ok := f.IP(); ok && proto == lab.ProtoICMP && src == addrB && dst == addrA {
			t.Errorf("b's stack answered an advert: %v", f)
		}
	}
	multicast := third.Frames().ToHost().Adverts(vhid).Where(func(f lab.Frame) bool { return f.Dst()[0]&1 != 0 })
	if len(multicast) > 0 {
		t.Errorf("adverts to everybody:\n%v", multicast)
	}
}

// The first handover of a unicast pair is as quick as every other: the successor, which has never spoken, knows its
// peer.
func TestFirstHandoverOfAUnicastPairIsQuick(t *testing.T) {
	t.Parallel()
	p := newPair(t, withPeers(oneVIP(0), addrB), withPeers(oneVIP(10), addrA))
	p.start()
	from, stalls := p.portB.Sniff(), p.WatchStalls()
	stopped := p.a.Stop()
	took := time.Since(stopped)
	first := from.FirstSpeaking(stopped, patience, vip, vmac)
	t.Logf("b spoke %v after the stop, which took %v", first.At.Sub(stopped), took)
	if ad, ok := first.Advert(); !ok || ad.Dst != addrA || took > time.Second+stalls.Allowance() {
		t.Errorf("the stop took %v, b's first word is %v: its first advert did not reach the old node", took, first)
	}
}

// Several peers are sent to one by one; one that is not there is not an error.
func TestUnicastPeerThatIsOffIsNoError(t *testing.T) {
	t.Parallel()
	off := netip.MustParseAddr("192.0.2.99")
	p := newPair(t, withPeers(oneVIP(0), off, addrB), withPeers(oneVIP(10), off, addrA))
	p.start()
	before := p.b.Group(group)
	time.Sleep(4 * time.Second)
	if g := p.a.Group(group); g.State != lab.Master || !g.Dataplane.Answering {
		t.Errorf("a is %s (%s)", g.State, g.Reason)
	}
	if g := p.b.Group(group); g.State != lab.Backup || !sameTime(g.Since, before.Since) ||
		g.Counters.Received < before.Counters.Received+3 {
		t.Errorf("b is %s (%s) since %v and heard %d", g.State, g.Reason, g.Since, g.Counters.Received)
	}
	if s := p.a.Status(); s.Demotion != 0 {
		t.Errorf("a is demoted: %+v", s.Demotions)
	}
}

// The TTL of a unicast advert: any by default, as on FreeBSD, and 255 alone when strict; and multicast is always
// strict.
func TestUnicastTTLIsCheckedIfStrict(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, extra string
		accepted    bool
	}{
		{"any", "", true},
		{"any in words", "peer_ttl = \"any\"\n", true},
		{"strict", "peer_ttl = \"strict\"\n", false},
	} {
		s := newSingle(t, withExtra(withPeers(oneVIP(10), addrClient), tt.extra))
		s.node.Start()
		s.node.WaitState(group, lab.Backup, patience)
		p := newPeer(s.clientPort, addrClient)
		p.frame.Dst, p.frame.DstMAC = addrA, s.port.MAC
		send := func(ttl uint8) {
			p.injector.Send(p.build(func(f *wire.AdvertFrame) { f.TTL = ttl }))
		}
		send(64)
		send(255)
		g := s.node.WaitFor(group, "counts both", patience, func(g lab.GroupStatus) bool {
			return g.Counters.Received+g.Counters.Rejected["bad_ttl"] == 2
		})
		if got := g.Counters.Received == 2; got != tt.accepted {
			t.Errorf("%s: TTL 64 accepted %v, want %v", tt.name, got, tt.accepted)
		}
	}
}

// A unicast pair over IPv6.
func TestUnicastPairOverIPv6FailsOver(t *testing.T) {
	t.Parallel()
	p := newPairWith(t, []string{"/64"}, withPeers(vip6Only(0), addrB6), withPeers(vip6Only(10), addrA6))
	fromA := p.portA.Sniff()
	p.startNaturally()
	pinger := p.client.Ping(vip6, 5*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)
	killed := p.a.Kill9()
	p.b.WaitAnswering(group, patience)
	pinger.AwaitAnswer(time.Now(), patience)
	r := pinger.Stop()
	assertGap(t, r, killed, skewed(10)+100*time.Millisecond)
	adverts := fromA.Frames().FromHost().Adverts(vhid)
	for _, f := range adverts {
		if ad, _ := f.Advert(); f.Src() != vmac || f.Dst() != p.portB.MAC || ad.Dst != addrB6 || ad.TTL != 255 {
			t.Errorf("advert %v, to %v with hop limit %d", f, ad.Dst, ad.TTL)
		}
	}
	if len(adverts) == 0 {
		t.Error("no advert seen: the test proves nothing")
	}
}
