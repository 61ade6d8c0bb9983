// SPDX-License-Identifier: Apache-2.0

package model

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

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
	s := GoldenSpec("10.0.0.9")
	s.VHID = 9
	next, err := d.AddGroup(s)
	if err != nil || next.Slot() != groups[1].Slot() {
		t.Fatalf("slot %d instead of the one that was removed, %v", next.Slot(), err)
	}
	if all, err = d.Peers(); err != nil || len(all[next]) != 0 || len(all[groups[0]]) != 1 || len(all[groups[2]]) != 2 {
		t.Errorf("a group in the place of another: %v, %v", all, err)
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

// TestNoRoomForAPeer: a vipd node that cannot be remembered is heard with its trailer and never without one; what is
// known to send none is heard on, and what is new is not.
func TestNoRoomForAPeer(t *testing.T) {
	h := NewHarness(t)
	spec := ProvenSpec("192.0.2.1")
	spec.PeerMemory = time.Hour
	h.Fresh(spec)
	other := GoldenSpec("10.0.0.1")
	other.VHID = 2
	crowd, err := h.Plane.AddGroup(other)
	if err != nil {
		t.Fatal(err)
	}
	h.Expect("an ordinary peer", from("192.0.2.3", Advert(1, 0, 0, 7)), wellHeard)
	h.Expect("a node before it proves itself", FrameOf(Advert(1, 100, 0, 9)), wellHeard)
	room := int(h.Plane.Objects.Peers.MaxEntries())
	addr := netip.MustParseAddr("10.1.0.0")
	for range room {
		if err := crowd.PutPeer(tables.Peer{Addr: addr, Number: 1, At: 1}); err != nil {
			t.Fatal(err)
		}
		addr = addr.Next()
	}
	if at := h.Seen().NoRoomAt; at != 0 {
		t.Fatalf("no room at %d, and none was missing", at)
	}
	mine := func(number uint64) carp { return provenAdvert(number, PeerAddr, prio(1, 100, 0)) }
	stripped := func(number uint64) []byte { c := mine(number); c.trailer = nil; return FrameOf(c) }
	noRoom := Want{Verdict: XDPPass, Counts: count("received", "no_room"), events: 1}
	before := BootNow()
	h.Expect("proves itself", FrameOf(mine(100)), noRoom)
	if at := h.Seen().NoRoomAt; at < before || at > BootNow() {
		t.Errorf("no room at %d, want %d or later", at, before)
	}
	h.Expect("a copy", FrameOf(mine(100)), replayed)
	h.Expect("stripped, and known as an ordinary peer from before", stripped(101), badTrailer)
	h.Expect("the next", FrameOf(mine(102)), noRoom)
	h.Expect("stripped again", stripped(103), badTrailer)
	h.Expect("the ordinary peer", from("192.0.2.3", Advert(1, 0, 0, 8)), wellHeard)
	h.Expect("a new one", from("192.0.2.4", Advert(1, 0, 0, 8)), badTrailer)
	h.Expect("says hello",
		Packet{Dst: ownAddr, DstMAC: VMAC(1), Payload: helloOf(trailerKey(), 1, 104, 96, PeerAddr, ownAddr)}.Bytes(),
		Want{Verdict: xdpDrop, Counts: count("hellos", "no_room")})

	// The operator takes the node off.
	if err := h.Group.ForgetNoRoom(BootNow()); err != nil {
		t.Fatal(err)
	}
	if at := h.Seen().NoRoomAt; at != 0 {
		t.Errorf("no room at %d after the operator had it forgotten", at)
	}
	h.Expect("a new one then", from("192.0.2.4", Advert(1, 0, 0, 9)), wellHeard)
	h.Expect("the node after all", FrameOf(mine(200)), noRoom)
	h.Expect("and another new one", from("192.0.2.5", Advert(1, 0, 0, 9)), badTrailer)

	// There is room again.
	if known, err := crowd.ForgetPeer(netip.MustParseAddr("10.1.0.0")); err != nil || !known {
		t.Fatal(known, err)
	}
	h.Expect("fits", FrameOf(mine(201)), wellHeard)
	h.Expect("is remembered", stripped(202), badTrailer)
	if peers, err := h.peers(); err != nil || len(peers) != 1 {
		t.Errorf("peers %v, %v", peers, err)
	}
	h.Expect("others may still be nodes without room", from("192.0.2.5", Advert(1, 0, 0, 9)), badTrailer)
	spec.PeerMemory = time.Second
	if err := h.Group.Update(spec); err != nil {
		t.Fatal(err)
	}
	h.await("until peer_memory has passed", from("192.0.2.5", Advert(1, 0, 0, 9)))

	// What the agent cannot bring back.
	spec.PeerMemory = 0
	if err := h.Group.Update(spec); err != nil {
		t.Fatal(err)
	}
	if err := h.Group.ForgetNoRoom(BootNow()); err != nil {
		t.Fatal(err)
	}
	h.Expect("to be forgotten", from("192.0.2.6", Advert(1, 0, 0, 9)), wellHeard)
	back := tables.Peer{Addr: netip.MustParseAddr("192.0.2.6"), Number: 1}
	if err := h.Group.PutPeer(back); !errors.Is(err, tables.ErrNoRoom) {
		t.Errorf("brought back: %v", err)
	}
	h.Expect("not brought back, so not believed", from("192.0.2.6", Advert(1, 0, 0, 9)), badTrailer)
	h.Expect("the ordinary peer goes on", from("192.0.2.3", Advert(1, 0, 0, 9)), wellHeard)
}

// await runs a frame again until it is accepted.
func (h *Harness) await(what string, frame []byte) {
	h.T.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		before := h.counters()
		h.Run(frame)
		if since(before, h.counters())["received"] == 1 {
			return
		}
	}
	h.T.Fatal("not in 10 s: " + what)
}
