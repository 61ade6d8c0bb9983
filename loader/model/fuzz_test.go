// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"vipd/loader/object"
	"vipd/loader/tables"
)

// twinSeeds are frames of every kind, for the first group of fixedSpecs.
func twinSeeds() map[string][]byte {
	c := DualAdvert(1, 0, 0, 7)
	vip := netip.MustParseAddr("192.0.2.1")
	na := ND{
		DstMAC:  PeerMAC,
		SrcMAC:  NICMAC,
		Src:     VIP6,
		Dst:     PeerAddr6,
		Type:    136,
		Target:  VIP6,
		Options: LLOption(2, NICMAC),
	}
	return map[string][]byte{
		"advert":  FrameOf(c),
		"damaged": FrameOf(damaged(c)),
		"options": Packet{Payload: c.bytes(), options: make([]byte, 8)}.Bytes(),
		"trailer": Packet{Payload: append(c.bytes(), 0, 0, 0)}.Bytes(), "ttl": Packet{Payload: c.bytes(), TTL: 3}.Bytes(),
		"unicast": Packet{Payload: c.bytes(), Dst: ownAddr, DstMAC: NICMAC}.Bytes(),
		"transit": Packet{Payload: c.bytes(), Dst: PeerAddr, DstMAC: VMAC(1)}.Bytes(),
		"vrrp2":   Packet{Payload: vrrp2(1, 2)}.Bytes(), "vrrp3": Packet{Payload: vrrp3(1, 2, PeerAddr, carpGroup)}.Bytes(),
		"fragment":  Packet{Payload: c.bytes(), frag: 0x2000}.Bytes(),
		"virtual":   Packet{DstMAC: VMAC(1), Proto: 17, Payload: make([]byte, 8)}.Bytes(),
		"own":       Packet{Src: ownAddr, Payload: c.bytes()}.Bytes(),
		"own6":      Packet6{Src: ownAddr6, Payload: c.bytes()}.Bytes(),
		"from vip":  Packet{Src: vip, Dst: PeerAddr, Proto: 17, Payload: make([]byte, 8)}.Bytes(),
		"from vip6": Packet6{Src: VIP6, Dst: PeerAddr6, Next: 17}.Bytes(),
		"arp":       ARPFor("192.0.2.1").Bytes(), "other arp": ARPFor("192.0.2.7").Bytes(),
		"arp from": ARP{
			DstMAC: BroadcastMAC,
			SrcMAC: NICMAC,
			Op:     1,
			SHA:    NICMAC,
			SIP:    "192.0.2.1",
			TIP:    "192.0.2.2",
		}.Bytes(),
		"advert6":          frame6(c),
		"proven":           frame6(dualProven(0)),
		"bad trailer":      frame6(dualProven(1)),
		"bad trailer 4":    FrameOf(dualProven(1)),
		"trailer6":         Packet6{Payload: append(c.bytes(), 0, 0, 0)}.Bytes(),
		"hops":             Packet6{Payload: c.bytes(), Hops: 3}.Bytes(),
		"unicast6":         Packet6{Payload: c.bytes(), Dst: ownAddr6, DstMAC: NICMAC}.Bytes(),
		"vrrp3v6":          Packet6{Payload: vrrp3v6(1, 2, PeerAddr6, carpGroup6)}.Bytes(),
		"extension":        Packet6{Next: 60, Payload: c.bytes()}.Bytes(),
		"nd":               NDFor(VIP6).Bytes(),
		"dad":              dadFor(VIP6).Bytes(),
		"nonce":            withNonce(NDFor(VIP6)).Bytes(),
		"unicast nd":       unicastND(VIP6).Bytes(),
		"na":               na.Bytes(),
		"tagged":           withTags(ARPFor("192.0.2.1").Bytes(), 0x8100<<16|100),
		"priority":         withTags(ARPFor("192.0.2.1").Bytes(), 0x8100<<16),
		"two tags":         withTags(NDFor(VIP6).Bytes(), 0x88a8<<16|200, 0x8100<<16|100),
		"tagged advert":    withTags(FrameOf(c), 0x8100<<16|100),
		"short tagged arp": withTags(append(eth(VMAC(1), PeerMAC, 0x0806), 0, 1, 8), 0x8100<<16|100),
		"tagged virtual":   withTags(Packet{DstMAC: VMAC(1), Proto: 17, Payload: make([]byte, 8)}.Bytes(), 0x8100<<16|100),
	}
}

// dualProven has a trailer of peerAddr6 for advskew 0; any other is forged.
func dualProven(skew uint8) carp {
	c := DualAdvert(1, 0, 0, 77).provenBy(trailerKey(), PeerAddr6)
	c.skew = skew
	return c
}

// fixedSpecs are a group of both families, and one of each.
func fixedSpecs() []tables.GroupSpec {
	of := func(vhid uint8, addrs []netip.Addr) tables.GroupSpec {
		return tables.GroupSpec{
			IfIndex:  LoIndex,
			VHID:     vhid,
			NICMAC:   NICMAC,
			VIPs:     addrs,
			Contexts: []tables.AuthContext{{Key: goldenKey, Prefix: prefix(vhid, addrs)}},
		}
	}
	return []tables.GroupSpec{ProvenSpec(DualVIPs()...), of(2, VIPs4), of(3, vips6)}
}

// fixed puts the first group into a state where what comes next is judged from its beginning.
func (x *twinned) fixed(master bool) {
	x.T.Helper()
	g := x.w.groups[1]
	g.role = tables.Role{State: tables.RoleBackup, Generation: g.role.Generation + 1}
	x.Group.SetRole(g.role)
	if master {
		g.role = tables.Role{State: tables.RoleMaster, Generation: g.role.Generation, Lease: BootNow() + 3600e9}
		x.Group.SetRole(g.role)
	}
	if g.heard == 0 && g.limited == 0 && g.spent == [3]int64{} {
		return
	}
	g.twinMemory = twinMemory{claimed: g.claimed, yielded: g.yielded}
	if err := x.Plane.Objects.Seen.Put(
		g.slot,
		object.BPFSeen{YieldedGen: g.yielded, Claimed: uint64(g.claimed)},
	); err != nil {
		x.T.Fatal(err)
	}
	for family := range uint32(len(g.repeats)) {
		if err := x.Plane.Objects.Heard.Put(g.slot*2+family, object.BPFHeard{}); err != nil {
			x.T.Fatal(err)
		}
	}
	for src := range g.peers {
		if err := x.Plane.Objects.Sources.Delete(object.BPFSourceKey{Slot: g.slot, Src: src.As16()}); err != nil {
			x.T.Fatal(err)
		}
	}
	clear(g.peers)
	if err := (&randomWorld{twinned: x}).putBudget(g); err != nil {
		x.T.Fatal(err)
	}
}

func newFixed(t testing.TB) *twinned {
	t.Helper()
	x := newTwinned(t)
	if err := x.populate(fixedSpecs()...); err != nil {
		t.Fatal(err)
	}
	g := x.w.groups[1]
	g.sources, g.sent = []netip.Addr{
		ownAddr,
		ownAddr6,
	}, tables.Priority{} // the best: nothing but its equal makes us yield
	x.Group.SetSentPriority(g.sent)
	if err := x.Group.SetSources(g.sources); err != nil {
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
		x.T, x.cpu = t, cpuHere()
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
	if said := x.sourcesDiffer(); said != "" {
		t.Error(said)
	}
}
