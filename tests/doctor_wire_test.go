// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"vipd/agent/wire"
	"vipd/tests/lab"
)

// groupPeer forges for another VHID than the usual one. Its adverts are worse than the node's: they move nothing.
func groupPeer(port *lab.Port, src netip.Addr, vhid uint8, address string) *peer {
	p := newPeer(port, src)
	p.prefix = wire.DigestPrefix(vhid, []netip.Addr{netip.MustParseAddr(address)}, nil)
	p.frame.Advert.VHID, p.frame.Advert.AdvSkew = vhid, 200
	return p
}

// repeat calls every one of do in turn until the test ends.
func repeat(t *testing.T, spacing time.Duration, do ...func()) {
	t.Helper()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			for _, f := range do {
				f()
			}
			select {
			case <-stop:
				return
			case <-time.After(spacing):
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		wg.Wait()
	})
}

// One node hears something wrong for each of its groups: the doctor tells each cause, and blames no group for
// another's.
func TestDoctorNamesWhatIsWrongOnTheWire(t *testing.T) {
	t.Parallel()
	address := func(vhid int) string { return fmt.Sprintf("192.0.2.%d", 100+vhid) }
	name := func(vhid int) string { return fmt.Sprintf("eth0@%d", vhid) }
	const (
		vrrp = 1 + iota
		ttl
		loop
		untrailed
		twice
		damage
		flooded
		joined
		forgedMaster
		lladdr
		healthy
	)
	var groups []lab.Group
	for v := vrrp; v <= healthy; v++ {
		g := lab.Group{VHID: v, Addresses: []string{address(v) + "/24"}}
		switch v {
		case untrailed:
			g.Extra = "require_trailer = true"
		case forgedMaster:
			g.AdvSkew = 100
		}
		groups = append(groups, g)
	}
	groups = append(
		groups,
		lab.Group{Interface: "eth1", VHID: joined, Addresses: []string{"198.51.100.8/24"}, Password: "other segment"},
	)
	s := newSingle(t, lab.NodeConfig{Groups: groups})
	asShipped(t, s.node)
	other := s.NewSegment("other")
	other.Join(s.node.Host, "eth1", "198.51.100.1/24")
	sniffer := s.port.Sniff()

	rogue, rogue2 := netip.MustParseAddr("192.0.2.66"), netip.MustParseAddr("192.0.2.67")
	from := func(src netip.Addr, vhid int) *peer { return groupPeer(s.clientPort, src, uint8(vhid), address(vhid)) }
	truth := from(addrClient, forgedMaster)
	truth.frame.Advert.AdvSkew = 0
	s.node.Start()
	s.node.WaitState(name(forgedMaster), lab.Backup, patience)
	repeat(t, 300*time.Millisecond, func() { truth.injector.Send(truth.build(nil)) })
	for v := vrrp; v <= healthy; v++ {
		if v != forgedMaster {
			s.node.WaitAnswering(name(v), upTimeout)
		}
	}
	own := sniffer.Await(patience, "an advert of the node", func(f lab.Frame) bool {
		ad, ok := f.Advert()
		return ok && f.FromHost && ad.VHID == loop && !ad.Goodbye()
	})
	routed, ordinary, broken := from(rogue, ttl), from(rogue, untrailed), from(rogue, damage)
	first, second := foreignKey(from(rogue, twice)), foreignKey(from(rogue2, twice))
	forger, openbsd := foreignKey(from(addrClient, forgedMaster)), from(rogue, lladdr)
	openbsd.prefix = wire.DigestPrefix(lladdr, []netip.Addr{netip.MustParseAddr(address(lladdr))}, &s.clientPort.MAC)
	stray := groupPeer(s.clientPort, rogue, joined, "198.51.100.8")
	stray.key, _ = wire.NewKey([]byte("other segment"))
	repeat(t, 200*time.Millisecond,
		func() { routed.injector.Send(vrrp3Frame(s.clientPort.MAC, rogue, vip)) },
		func() { routed.injector.Send(routed.build(func(f *wire.AdvertFrame) { f.TTL = 254 })) },
		func() { routed.injector.Send(own.Data) },
		func() { ordinary.injector.Send(ordinary.build(nil)) },
		func() { first.injector.Send(first.build(nil)); second.injector.Send(second.build(nil)) },
		func() {
			b := broken.build(nil)
			b[ethSize+ipSize+6] ^= 1
			broken.injector.Send(b)
		},
		func() { stray.injector.Send(stray.build(nil)) },
		func() { forger.injector.Send(forger.build(nil)) },
		func() { openbsd.injector.Send(openbsd.build(nil)) },
	)
	for _, p := range []netip.Addr{rogue, rogue2} {
		flooder := foreignKey(from(p, flooded))
		frame := flooder.build(nil)
		repeat(t, 10*time.Millisecond, func() {
			for range 3 {
				flooder.injector.Send(frame)
			}
		})
	}

	start := time.Now()
	d := examine(t, s.node)
	t.Logf("took %v", time.Since(start))
	want := map[string]bool{"forged of " + name(flooded): true}
	for code, vhid := range map[string]int{
		"foreign_vrrp": vrrp, "ttl_changed": ttl, "reflected": loop, "bad_trailer": untrailed, "vhid_twice": twice,
		"damaged": damage, "flood": flooded, "segments_joined": joined, "forged": forgedMaster, "lladdr_differs": lladdr,
	} {
		want[code+" of "+name(vhid)] = true
	}
	for _, f := range d.Findings {
		t.Logf("%s %s: %s %q", f.Group, f.Code, f.Cause, f.Evidence)
		what := f.Code + " of " + f.Group
		if !want[what] {
			t.Errorf("%s was found", what)
		}
		delete(want, what)
		says(t, f)
	}
	for what := range want {
		t.Errorf("%s was not found", what)
	}
	says(t, finding(t, d, "segments_joined", name(joined), codesOf(d)...), "eth1@8")
}
