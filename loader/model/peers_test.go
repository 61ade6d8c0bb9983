// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"net/netip"
	"testing"

	"vipd/loader/tables"
)

// TestPeersOfAllGroups: one reading finds each group's own peers, and none of a group that was removed.
func TestPeersOfAllGroups(t *testing.T) {
	d := openPlane(t, planeOptions{})
	groups := make([]*tables.Group, 3)
	for i := range groups {
		s := GoldenSpec(fmt.Sprintf("10.0.0.%d", i+1))
		s.VHID = uint8(i + 1)
		var err error
		if groups[i], err = d.AddGroup(s); err != nil {
			t.Fatal(err)
		}
		for n := range i + 1 {
			addr := netip.AddrFrom4([4]byte{10, 0, 1, byte(n)})
			if err := groups[i].PutPeer(tables.Peer{Addr: addr, Number: uint64(10*i + n), At: 7}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := groups[1].Remove(); err != nil {
		t.Fatal(err)
	}
	all, err := d.Peers()
	if err != nil || len(all) != 2 || len(all[groups[0]]) != 1 || len(all[groups[2]]) != 3 {
		t.Fatalf("%v, %v", all, err)
	}
	if p := all[groups[0]][0]; p != (tables.Peer{Addr: netip.MustParseAddr("10.0.1.0"), Number: 0, At: 7}) {
		t.Errorf("peer %+v", p)
	}
	for _, p := range all[groups[2]] {
		if p.Number != 20+uint64(p.Addr.As4()[3]) {
			t.Errorf("peer %+v", p)
		}
	}
	if known, err := groups[2].ForgetPeer(netip.MustParseAddr("10.0.1.2")); err != nil || !known {
		t.Errorf("forget: %v, %v", known, err)
	}
	if known, err := groups[2].ForgetPeer(netip.MustParseAddr("10.0.1.2")); err != nil || known {
		t.Errorf("forget it twice: %v, %v", known, err)
	}
	if all, err = d.Peers(); err != nil || len(all[groups[2]]) != 2 {
		t.Errorf("%v, %v", all, err)
	}
}

// TestExpirePeer: only one that was not heard since is forgotten, by adverts or hellos.
func TestExpirePeer(t *testing.T) {
	h := NewHarness(t)
	h.Fresh(ProvenSpec("192.0.2.1"))
	expire := func(what string, at int64, want bool) {
		t.Helper()
		gone, err := h.Group.ExpirePeer(PeerAddr, at)
		if peers, perr := h.peers(); err != nil || perr != nil || gone != want || (len(peers) == 0) != want {
			t.Errorf("%s: gone %v, left %v; %v, %v", what, gone, peers, err, perr)
		}
	}
	before := BootNow()
	h.Expect("proves itself", FrameOf(provenAdvert(101, PeerAddr, prio(1, 100, 0))), wellHeard)
	expect, err := h.peers()
	if err != nil || len(expect) != 1 {
		t.Fatalf("peers %v, %v", expect, err)
	}
	expire("heard since", before, false)
	expire("silent since", expect[0].At, true)
	if gone, err := h.Group.ExpirePeer(PeerAddr, BootNow()); gone || err != nil {
		t.Errorf("forgotten twice: %v, %v", gone, err)
	}
	h.Expect("a replay afterwards", FrameOf(provenAdvert(101, PeerAddr, prio(1, 100, 0))), replayed)
	if err := h.Group.PutPeer(tables.Peer{Addr: PeerAddr, Number: 101, At: -5}); err != nil {
		t.Fatal(err)
	}
	expire("of an earlier boot", -5, true)
}
