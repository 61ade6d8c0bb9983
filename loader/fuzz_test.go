// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
)

// FuzzXDP compares the program's verdict on any frame with that of a twin in Go.
func FuzzXDP(f *testing.F) {
	c := dualAdvert(1, 0, 0, 7)
	for _, frame := range [][]byte{
		frameOf(c), frameOf(damaged(c)), packet{payload: c.bytes(), options: make([]byte, 8)}.bytes(),
		packet{payload: append(c.bytes(), 0, 0, 0)}.bytes(), packet{payload: c.bytes(), ttl: 3}.bytes(),
		packet{payload: c.bytes(), dst: ownAddr, dstMAC: nicMAC}.bytes(), packet{payload: c.bytes(), dst: peerAddr, dstMAC: vmac(1)}.bytes(),
		packet{payload: vrrp2(1, 2)}.bytes(), packet{payload: vrrp3(1, 2, peerAddr, carpGroup)}.bytes(),
		packet{payload: vrrp2(2, 0)}.bytes(), packet{payload: c.bytes(), frag: 0x2000}.bytes(),
		packet{dstMAC: vmac(1), proto: 17, payload: make([]byte, 30)}.bytes(),
		arpFor("192.0.2.1").bytes(), arpFor("192.0.2.7").bytes(),
		append(eth(vmac(1), peerMAC, 0x8100), make([]byte, 40)...),
		frame6(c), frame6(damaged(c)), packet6{payload: append(c.bytes(), 0, 0, 0)}.bytes(), packet6{payload: c.bytes(), hops: 3}.bytes(),
		packet6{payload: c.bytes(), dst: ownAddr6, dstMAC: nicMAC}.bytes(), packet6{payload: c.bytes(), dst: peerAddr6, dstMAC: vmac(1)}.bytes(),
		packet6{payload: vrrp3v6(1, 2, peerAddr6, carpGroup6)}.bytes(), packet6{next: 60, payload: c.bytes()}.bytes(),
		frame6(dualSealed(0)), frame6(dualSealed(1)), frameOf(dualSealed(1)),
		ndFor(vip6).bytes(), dadFor(vip6).bytes(), ndFor(netip.MustParseAddr("2001:db8::7")).bytes(), naFor(vip6, peerAddr6, nicMAC, true),
		withNonce(ndFor(vip6)).bytes(), unicastND(vip6).bytes(),
		withTags(frameOf(c), 0x8100<<16|100), withTags(arpFor("192.0.2.1").bytes(), 0x88a8<<16|200, 0x8100<<16|100),
		withTags(ndFor(vip6).bytes(), 0x8100<<16), withTags(packet{dstMAC: vmac(1), proto: 17, payload: make([]byte, 30)}.bytes(), 0x8100<<16|100),
	} {
		f.Add(frame, true)
		f.Add(frame, false)
	}
	h := newHarness(f, dualVIPs()...)
	h.fresh(sealedSpec(dualVIPs()...))
	zero := make([]bpfBudget, ebpf.MustPossibleCPU())
	generation := uint64(0)
	f.Fuzz(func(t *testing.T, frame []byte, master bool) {
		if len(frame) < 14 || len(frame) > 1500 {
			t.Skip("not a frame that a test run takes")
		}
		h.t = t
		generation++
		if h.g.SetRole(Role{State: RoleBackup, Generation: generation}); master {
			h.master(generation)
			h.g.SetSentPriority(Priority{}) // the best: nothing but its equal makes us yield
		}
		if err := errors.Join(h.d.objs.Budget.Put(h.g.slot, zero), h.g.forgetSources()); err != nil {
			t.Fatal(err)
		}
		h.compare("fuzz", frame, master)
		h.drain()
	})
}

// dualSealed is sealed by peerAddr6 for advskew 0; any other breaks the seal.
func dualSealed(skew uint8) carp {
	return dualAdvert(1, skew, 0, sealed(sealKey(), 77, peerAddr6, Priority{AdvBase: 1}))
}

// TestTwin runs the twin over every one-byte change of every seed: what fuzzing would
// take long to come by. With -short it takes one change of each byte, another each time: an emulated machine has seen
// all of what the compiler made by then, if not all of what the frame can say.
func TestTwin(t *testing.T) {
	for _, ingress := range []bool{false, true} {
		t.Run(fmt.Sprint("ingress ", ingress), func(t *testing.T) { testTwin(t, ingress) })
	}
}

func testTwin(t *testing.T, ingress bool) {
	h := newHarness(t, dualVIPs()...)
	h.ingress = ingress
	h.fresh(sealedSpec(dualVIPs()...))
	zero := make([]bpfBudget, ebpf.MustPossibleCPU())
	c := dualAdvert(1, 0, 0, 7)
	h.g.SetSentPriority(Priority{})
	generation := uint64(0)
	changes := []byte{1, 2, 4, 8, 16, 32, 64, 128, 255}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	seeds := map[string][]byte{
		"advert": frameOf(c), "options": packet{payload: c.bytes(), options: make([]byte, 8)}.bytes(),
		"unicast": packet{payload: c.bytes(), dst: ownAddr, dstMAC: nicMAC}.bytes(),
		"vrrp2":   packet{payload: vrrp2(1, 2)}.bytes(), "vrrp3": packet{payload: vrrp3(1, 2, peerAddr, carpGroup)}.bytes(),
		"arp": arpFor("192.0.2.1").bytes(), "virtual": packet{dstMAC: vmac(1), proto: 17, payload: make([]byte, 8)}.bytes(),
		"advert6": frame6(c), "sealed": frame6(dualSealed(0)), "broken seal": frame6(dualSealed(1)),
		"unicast6": packet6{payload: c.bytes(), dst: ownAddr6, dstMAC: nicMAC}.bytes(),
		"nd":       ndFor(vip6).bytes(), "dad": dadFor(vip6).bytes(), "nonce": withNonce(ndFor(vip6)).bytes(), "unicast nd": unicastND(vip6).bytes(),
		"tagged": withTags(arpFor("192.0.2.1").bytes(), 0x8100<<16|100), "priority": withTags(arpFor("192.0.2.1").bytes(), 0x8100<<16),
		"two tags": withTags(ndFor(vip6).bytes(), 0x88a8<<16|200, 0x8100<<16|100), "tagged advert": withTags(frameOf(c), 0x8100<<16|100),
		"tagged virtual": withTags(packet{dstMAC: vmac(1), proto: 17, payload: make([]byte, 8)}.bytes(), 0x8100<<16|100),
		"vrrp3v6":        packet6{payload: vrrp3v6(1, 2, peerAddr6, carpGroup6)}.bytes(),
	}
	for _, name := range slices.Sorted(maps.Keys(seeds)) {
		frame := seeds[name]
		for i := range frame {
			these := changes
			if testing.Short() {
				n := r.IntN(len(changes))
				these = changes[n : n+1]
			}
			for _, x := range these {
				b := append([]byte(nil), frame...)
				b[i] ^= x
				for _, master := range []bool{true, false} {
					generation++
					if h.g.SetRole(Role{State: RoleBackup, Generation: generation}); master {
						h.master(generation)
					}
					if err := errors.Join(h.d.objs.Budget.Put(h.g.slot, zero), h.g.forgetSources()); err != nil {
						t.Fatal(err)
					}
					h.compare(fmt.Sprintf("%s, byte %d ^ %#x", name, i, x), b, master)
				}
			}
		}
	}
}
