// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// twinSeeds are frames of every kind, for the first group of fixedSpecs.
func twinSeeds() map[string][]byte {
	c := dualAdvert(1, 0, 0, 7)
	vip := netip.MustParseAddr("192.0.2.1")
	na := nd{dstMAC: peerMAC, srcMAC: nicMAC, src: vip6, dst: peerAddr6, typ: 136, target: vip6, options: llOption(2, nicMAC)}
	return map[string][]byte{
		"advert": frameOf(c), "damaged": frameOf(damaged(c)), "options": packet{payload: c.bytes(), options: make([]byte, 8)}.bytes(),
		"trailer": packet{payload: append(c.bytes(), 0, 0, 0)}.bytes(), "ttl": packet{payload: c.bytes(), ttl: 3}.bytes(),
		"unicast": packet{payload: c.bytes(), dst: ownAddr, dstMAC: nicMAC}.bytes(), "transit": packet{payload: c.bytes(), dst: peerAddr, dstMAC: vmac(1)}.bytes(),
		"vrrp2": packet{payload: vrrp2(1, 2)}.bytes(), "vrrp3": packet{payload: vrrp3(1, 2, peerAddr, carpGroup)}.bytes(),
		"fragment": packet{payload: c.bytes(), frag: 0x2000}.bytes(), "virtual": packet{dstMAC: vmac(1), proto: 17, payload: make([]byte, 8)}.bytes(),
		"own": packet{src: ownAddr, payload: c.bytes()}.bytes(), "own6": packet6{src: ownAddr6, payload: c.bytes()}.bytes(),
		"from vip": packet{src: vip, dst: peerAddr, proto: 17, payload: make([]byte, 8)}.bytes(), "from vip6": packet6{src: vip6, dst: peerAddr6, next: 17}.bytes(),
		"arp": arpFor("192.0.2.1").bytes(), "other arp": arpFor("192.0.2.7").bytes(),
		"arp from": arp{dstMAC: broadcastMAC, srcMAC: nicMAC, op: 1, sha: nicMAC, sip: "192.0.2.1", tip: "192.0.2.2"}.bytes(),
		"advert6":  frame6(c), "sealed": frame6(dualSealed(0)), "broken seal": frame6(dualSealed(1)), "broken seal 4": frameOf(dualSealed(1)),
		"trailer6": packet6{payload: append(c.bytes(), 0, 0, 0)}.bytes(), "hops": packet6{payload: c.bytes(), hops: 3}.bytes(),
		"unicast6": packet6{payload: c.bytes(), dst: ownAddr6, dstMAC: nicMAC}.bytes(), "vrrp3v6": packet6{payload: vrrp3v6(1, 2, peerAddr6, carpGroup6)}.bytes(),
		"extension": packet6{next: 60, payload: c.bytes()}.bytes(),
		"nd":        ndFor(vip6).bytes(), "dad": dadFor(vip6).bytes(), "nonce": withNonce(ndFor(vip6)).bytes(), "unicast nd": unicastND(vip6).bytes(), "na": na.bytes(),
		"tagged": withTags(arpFor("192.0.2.1").bytes(), 0x8100<<16|100), "priority": withTags(arpFor("192.0.2.1").bytes(), 0x8100<<16),
		"two tags": withTags(ndFor(vip6).bytes(), 0x88a8<<16|200, 0x8100<<16|100), "tagged advert": withTags(frameOf(c), 0x8100<<16|100),
		"short tagged arp": withTags(append(eth(vmac(1), peerMAC, 0x0806), 0, 1, 8), 0x8100<<16|100),
		"tagged virtual":   withTags(packet{dstMAC: vmac(1), proto: 17, payload: make([]byte, 8)}.bytes(), 0x8100<<16|100),
	}
}

// dualSealed is sealed by peerAddr6 for advskew 0; any other breaks the seal.
func dualSealed(skew uint8) carp {
	return dualAdvert(1, skew, 0, sealed(sealKey(), 77, peerAddr6, Priority{AdvBase: 1}))
}

// fixedSpecs are a group of both families, and one of each.
func fixedSpecs() []GroupSpec {
	of := func(vhid uint8, addrs []netip.Addr) GroupSpec {
		return GroupSpec{IfIndex: loIndex, VHID: vhid, NICMAC: nicMAC, VIPs: addrs, Contexts: []AuthContext{{Key: goldenKey, Prefix: prefix(vhid, addrs)}}}
	}
	return []GroupSpec{sealedSpec(dualVIPs()...), of(2, vips4), of(3, vips6)}
}

// fixed puts the first group into a state where what comes next is judged from its beginning.
func (x *twinned) fixed(master bool) {
	x.t.Helper()
	g := x.w.groups[1]
	g.role = Role{State: RoleBackup, Generation: g.role.Generation + 1}
	x.g.SetRole(g.role)
	if master {
		g.role = Role{State: RoleMaster, Generation: g.role.Generation, Lease: bootNow() + 3600e9}
		x.g.SetRole(g.role)
	}
	if g.heard == 0 && g.limited == 0 && g.spent == [2]int64{} {
		return
	}
	g.twinMemory = twinMemory{claimed: g.claimed, yielded: g.yielded}
	if err := x.d.objs.Seen.Put(g.slot, bpfSeen{YieldedGen: g.yielded, Claimed: uint64(g.claimed)}); err != nil {
		x.t.Fatal(err)
	}
	for src := range g.peers {
		if err := x.d.objs.Sources.Delete(bpfSourceKey{Slot: g.slot, Src: src.As16()}); err != nil {
			x.t.Fatal(err)
		}
	}
	clear(g.peers)
	if err := (&randomWorld{twinned: x}).putBudget(g); err != nil {
		x.t.Fatal(err)
	}
}

func newFixed(t testing.TB) *twinned {
	t.Helper()
	x := newTwinned(t)
	if err := x.populate(fixedSpecs()...); err != nil {
		t.Fatal(err)
	}
	g := x.w.groups[1]
	g.sources, g.sent = []netip.Addr{ownAddr, ownAddr6}, Priority{} // the best: nothing but its equal makes us yield
	x.g.SetSentPriority(g.sent)
	if err := x.g.SetSources(g.sources); err != nil {
		t.Fatal(err)
	}
	return x
}

// FuzzXDP compares the programs with the twin, on any frame.
func FuzzXDP(f *testing.F) {
	for _, frame := range twinSeeds() {
		for on := range uint8(3) {
			f.Add(frame, on, true)
			f.Add(frame, on, false)
		}
	}
	x := newFixed(f)
	f.Fuzz(func(t *testing.T, frame []byte, on uint8, master bool) {
		at := side(on % 3)
		if len(frame) < 14 || len(frame) > 1500 || !at.takes(frame) {
			t.Skip("not a frame that a test run takes")
		}
		pin(t)
		x.t, x.cpu = t, cpuHere()
		x.fixed(master)
		if _, said := x.frame(at, frame); said != "" {
			t.Fatalf("master %v: %s", master, said)
		}
	})
}

// TestTwin runs the twin over every one-byte change of every seed, and over every truncation: what fuzzing would take
// long to come by. With -short it takes one change of each byte, another each time: an emulated machine has seen all of
// what the compiler made by then, if not all of what the frame can say.
func TestTwin(t *testing.T) {
	for _, on := range []side{onXDP, onIngress, onEgress} {
		t.Run(on.String(), func(t *testing.T) { testTwin(t, on) })
	}
}

func testTwin(t *testing.T, on side) {
	pin(t)
	x := newFixed(t)
	try := func(name string, frame []byte) {
		for _, master := range []bool{true, false} {
			if !on.takes(frame) {
				continue
			}
			x.fixed(master)
			if _, said := x.frame(on, frame); said != "" {
				t.Fatalf("%s, master %v: %s", name, master, said)
			}
		}
	}
	changes := []byte{1, 2, 4, 8, 16, 32, 64, 128, 255}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	seeds := twinSeeds()
	for _, name := range slices.Sorted(maps.Keys(seeds)) {
		frame := seeds[name]
		try(name, frame)
		for n := 14; n < len(frame); n++ {
			try(fmt.Sprintf("%s, %d bytes", name, n), frame[:n])
		}
		for i := range frame {
			these := changes
			if testing.Short() {
				n := r.IntN(len(changes))
				these = changes[n : n+1]
			}
			for _, bits := range these {
				b := append([]byte(nil), frame...)
				b[i] ^= bits
				try(fmt.Sprintf("%s, byte %d ^ %#x", name, i, bits), b)
			}
		}
	}
	if said := x.settled(); said != "" {
		t.Error(said)
	}
}
