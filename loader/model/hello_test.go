// SPDX-License-Identifier: Apache-2.0

package model

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// TestHello: what a hello has to be, and what it leaves.
func TestHello(t *testing.T) {
	h := NewHarness(t)
	h.Fresh(ProvenSpec("192.0.2.1"))
	h.Master(1)
	h.Group.SetSentPriority(prio(1, 0, 0))
	before := h.Seen()
	accepted := Want{Verdict: xdpDrop, Counts: count("hellos")}
	dropped := func(reason string) Want { return Want{Verdict: xdpDrop, Counts: count(reason)} }
	to := func(src, dst netip.Addr, p []byte) []byte {
		return Packet{Src: src, Dst: dst, SrcMAC: PeerMAC, DstMAC: VMAC(1), Payload: p}.Bytes()
	}
	hello := func(number uint64) []byte { return helloOf(trailerKey(), 1, number, 96, PeerAddr, ownAddr) }
	h.Expect("the first", to(PeerAddr, ownAddr, hello(100)), accepted)
	got := h.Plane.Hellos(nil)
	if len(got) != 1 || !bytes.Equal(got[0].Payload, hello(100)) || got[0].Src != PeerAddr || got[0].SrcMAC != PeerMAC ||
		got[0].VHID != 1 || got[0].Slot != h.Group.Slot() {
		t.Fatalf("told %+v", got)
	}
	if again := h.Plane.Hellos(nil); len(again) != 0 {
		t.Errorf("told twice: %+v", again)
	}
	h.Expect("the same again", to(PeerAddr, ownAddr, hello(100)), dropped("replay"))
	h.Expect("another at once", to(PeerAddr, ownAddr, hello(101)), dropped("rate_limited"))
	forged := slices.Clone(hello(200))
	forged[30] ^= 1
	h.Expect("altered", to(PeerAddr, ownAddr, forged), dropped("bad_trailer"))
	h.Expect("from another source", to(thirdAddr, ownAddr, hello(200)), dropped("bad_trailer"))
	lies := slices.Clone(hello(200))
	lies[3] += 8
	h.Expect("a length that lies", to(PeerAddr, ownAddr, lies), dropped("bad_length"))
	of := func(n int) []byte { return to(PeerAddr, ownAddr, helloOf(trailerKey(), 1, 200, n, PeerAddr, ownAddr)) }
	h.Expect("too short", of(48), dropped("bad_length"))
	h.Expect("too long", of(520), dropped("bad_length"))
	none := netip.IPv4Unspecified()
	h.Expect("from no address", to(none, ownAddr, helloOf(trailerKey(), 1, 200, 96, none, ownAddr)), dropped("replay"))
	h.Expect("hops", Packet{Src: PeerAddr, Dst: ownAddr, DstMAC: VMAC(1), TTL: 64, Payload: hello(200)}.Bytes(),
		dropped("bad_ttl"))
	h.Expect("to the group", Packet{Payload: hello(200)}.Bytes(), dropped("bad_version"))
	elsewhere := to(PeerAddr, thirdAddr, helloOf(trailerKey(), 1, 200, 96, PeerAddr, thirdAddr))
	h.Expect("to another host, through us", elsewhere, Want{
		Verdict: XDPPass, Counts: map[string]uint64{"packets": 1, "bytes": uint64(len(elsewhere))},
		Frame: append(NICMAC[:], elsewhere[6:]...),
	})
	h.Expect("the longest", to(thirdAddr, ownAddr, helloOf(trailerKey(), 1, 300, 512, thirdAddr, ownAddr)), accepted)
	h.Expect("IPv6 between IPv4 addresses is none", Packet6{
		Dst: ownAddr6, DstMAC: VMAC(1), Payload: helloOf(trailerKey(), 1, 400, 96, PeerAddr, ownAddr),
	}.Bytes(), dropped("bad_trailer"))
	h.Expect("over IPv6", Packet6{
		Dst: ownAddr6, DstMAC: VMAC(1), Payload: helloOf(trailerKey(), 1, 400, 96, PeerAddr6, ownAddr6),
	}.Bytes(), accepted)
	if s := h.Seen(); s != before {
		t.Errorf("a hello was taken for an advert: %+v, before %+v", s, before)
	}
	if ans, err := h.Group.Answering(BootNow()); err != nil || !ans {
		t.Errorf("answering %v, %v", ans, err)
	}
	if evs := h.drain(); len(evs) != 0 {
		t.Errorf("events %+v", evs)
	}
	// A source that says hello is a vipd node, whose adverts have trailers and go on from there.
	h.Expect("stripped", from("192.0.2.3", Advert(1, 0, 0, 7)), badTrailer)
	old := Packet{Src: thirdAddr, Payload: provenAdvert(300, thirdAddr, prio(1, 100, 0)).bytes()}.Bytes()
	h.Expect("an advert from before", old, replayed)
	next := Packet{Src: thirdAddr, Payload: provenAdvert(301, thirdAddr, prio(1, 100, 0)).bytes()}.Bytes()
	h.Expect("and after", next, wellHeard)
	h.Expect("a hello from before that",
		to(thirdAddr, ownAddr, helloOf(trailerKey(), 1, 301, 96, thirdAddr, ownAddr)), dropped("replay"))
}

// TestHelloFlood: forged hellos have a budget of their own, and so do many true ones of one source.
func TestHelloFlood(t *testing.T) {
	pin(t)
	h := NewHarness(t)
	h.Fresh(ProvenSpec("192.0.2.1"))
	forged := helloOf([16]byte{9}, 1, 1<<60, 512, PeerAddr, ownAddr)
	got := h.flood(Packet{Dst: ownAddr, DstMAC: VMAC(1), Payload: forged}.Bytes(), 5000)
	if got["rate_limited"] < 1000 || got["bad_trailer"] == 0 {
		t.Errorf("forged: %v", got)
	}
	if h.Seen().LimitedAt != 0 {
		t.Error("silence proves nothing because of hellos")
	}
	h.Expect("an advert", FrameOf(provenAdvert(1, PeerAddr, prio(1, 0, 0))), wellHeard)
	h.Expect("one that needs a digest", from("192.0.2.3", Advert(1, 0, 0, 7)), wellHeard)
	time.Sleep(2 * time.Millisecond)
	hello := helloOf(trailerKey(), 1, 1<<50, 96, PeerAddr, ownAddr)
	h.Expect("a true one after it", Packet{Dst: ownAddr, DstMAC: VMAC(1), Payload: hello}.Bytes(),
		Want{Verdict: xdpDrop, Counts: count("hellos")})
}
