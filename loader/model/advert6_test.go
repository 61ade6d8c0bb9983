// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"testing"

	"vipd/loader/tables"
)

func frame6(c carp) []byte { return Packet6{Payload: c.bytes()}.Bytes() }

func TestAdvert6Accepted(t *testing.T) {
	h := NewHarness(t, DualVIPs()...)
	ok := Want{Verdict: XDPPass, Counts: count("received"), events: 1}
	c := DualAdvert(1, 100, 3, 7)
	h.Expect("plain", frame6(c), ok)
	h.Expect("the same digest over IPv4", FrameOf(c), ok)
	h.Expect("trailing bytes that sum to zero", Packet6{Payload: append(c.bytes(), 0, 0, 0)}.Bytes(), ok)
	h.Expect("ethernet padding", append(frame6(c), 1, 2, 3), ok)
	h.Expect("no source address", Packet6{Src: netip.IPv6Unspecified(), Payload: c.bytes()}.Bytes(), ok)
	h.Expect("group in a unicast frame", Packet6{DstMAC: NICMAC, Payload: c.bytes()}.Bytes(), ok)
	h.Expect("unicast to us", Packet6{DstMAC: NICMAC, Dst: ownAddr6, Payload: c.bytes()}.Bytes(),
		Want{Verdict: xdpDrop, Counts: count("received", "drop_unicast_advert"), events: 1})
	h.Expect("unicast to us, at the virtual MAC", Packet6{DstMAC: VMAC(1), Dst: ownAddr6, Payload: c.bytes()}.Bytes(),
		Want{Verdict: xdpDrop, Counts: count("received", "drop_unicast_advert"), events: 1})
	h.Expect("unicast in transit", Packet6{DstMAC: NICMAC, Dst: PeerAddr6, Payload: c.bytes()}.Bytes(), ok)

	h.untold()
	h.Run(frame6(c))
	s := h.Seen()
	evs := h.drain()
	if len(evs) == 0 || s.Event != evs[len(evs)-1] || s.Src != PeerAddr6 || s.SrcMAC != VMAC(1) || s.TTL != 255 ||
		s.AdvBase != 1 || s.AdvSkew != 100 || s.Demote != 3 || s.Counter != 7 || s.VHID != 1 {
		t.Errorf("recorded %+v, events %+v", s, evs)
	}
}

// TestGoldenVector6 is V-D5a over IPv6, and what OpenBSD sends: link-local addresses left out.
func TestGoldenVector6(t *testing.T) {
	vips := []string{"192.0.2.1", "2001:db8::2", "fe80::200:5eff:fe00:101", "2001:db8::1"}
	h := NewHarness(t, vips...)
	s := GoldenSpec(vips...)
	without := []netip.Addr{s.VIPs[0], s.VIPs[1], s.VIPs[3]}
	s.Contexts = append(s.Contexts, tables.AuthContext{Key: goldenKey, Prefix: prefix(1, without)})
	h.Fresh(s)
	all := mustHex("210100070001e4740123456789abcdef24210307a8b37852c540f83dbfa931a83b8329da")
	h.Expect("all addresses", Packet6{Payload: all}.Bytes(), Want{Verdict: XDPPass, Counts: count("received"), events: 1})
	c := carp{vhid: 1, base: 1, counter: 9, digest: digest(goldenKey, prefix(1, without), 9)}
	h.Expect("no link-local ones", frame6(c), Want{Verdict: XDPPass, Counts: count("received"), events: 1})
	if ctx := h.Seen().Context; ctx != 1 {
		t.Errorf("context %d, want 1", ctx)
	}
}

func TestAdvert6Yields(t *testing.T) {
	h := NewHarness(t, DualVIPs()...)
	h.Master(5)
	h.Group.SetSentPriority(tables.Priority{AdvBase: 1, AdvSkew: 10})
	h.Expect("worse", frame6(DualAdvert(1, 11, 0, 7)), Want{Verdict: XDPPass, Counts: count("received"), events: 1})
	h.Expect(
		"equal",
		frame6(DualAdvert(1, 10, 0, 7)),
		Want{Verdict: XDPPass, Counts: count("received", "yields"), events: 1},
	)
	if s := h.Seen(); s.YieldedGeneration != 5 || !s.Yielded {
		t.Errorf("recorded %+v", s)
	}
}

func TestLoop6(t *testing.T) {
	h := NewHarness(t, DualVIPs()...)
	c := DualAdvert(1, 10, 0, 1000)
	h.Group.RecordSent(c.counter, c.digest, tables.Priority{AdvBase: 1, AdvSkew: 10})
	h.Expect("loop", Packet6{Src: ownAddr6, Payload: c.bytes()}.Bytes(), Want{Verdict: xdpDrop, Counts: count("loop")})
	h.Expect("from another source", frame6(c), Want{Verdict: XDPPass, Counts: count("received", "own_counter"), events: 1})
}

func TestAdvert6Rejected(t *testing.T) {
	h := NewHarness(t, DualVIPs()...)
	good := DualAdvert(1, 0, 0, 7).bytes()
	flip := func(off int, bit byte) []byte {
		b := append([]byte(nil), good...)
		b[off] ^= bit
		return b
	}
	fixed := func(b []byte) []byte {
		b[6], b[7] = 0, 0
		s := sum16(b)
		b[6], b[7] = byte(s>>8), byte(s)
		return b
	}
	rejected := func(name, reason string, p Packet6) {
		t.Helper()
		h.Expect(name, p.Bytes(), Want{Verdict: xdpDrop, Counts: count(reason)})
	}
	for _, hops := range []uint8{254, 64, 1} {
		rejected("hop limit", "bad_ttl", Packet6{Hops: hops, Payload: good})
	}
	for _, v := range []byte{0x01, 0x11, 0x31, 0x41} {
		rejected("version", "bad_version", Packet6{Payload: fixed(append([]byte{v}, good[1:]...))})
	}
	rejected("version 2 of VRRP, which has no IPv6", "bad_length", Packet6{Payload: vrrp2(1, 2)})
	for _, n := range []int{2, 7, 8, 35} {
		rejected("short payload", "bad_length", Packet6{Payload: good[:n]})
	}
	rejected("payload length beyond the frame", "bad_length", Packet6{Payload: good, lengthDelta: 1})
	rejected("payload length too small", "bad_length", Packet6{Payload: good, lengthDelta: -1})
	for _, off := range []int{2, 3, 4, 5, 6, 7, 20, 35} {
		rejected("checksum", "bad_checksum", Packet6{Payload: flip(off, 1)})
	}
	pseudo := append([]byte(nil), good...)
	pseudo[6], pseudo[7] = 0, 0
	s := sum16(pseudo6(PeerAddr6, carpGroup6, 112, 36), pseudo)
	pseudo[6], pseudo[7] = byte(s>>8), byte(s)
	rejected("checksum with a pseudo-header", "bad_checksum", Packet6{Payload: pseudo})
	rejected(
		"trailing bytes that do not sum to zero",
		"bad_checksum",
		Packet6{Payload: append(append([]byte(nil), good...), 1)},
	)
	for _, off := range []int{8, 15, 16, 35} {
		rejected("digest", "bad_hmac", Packet6{Payload: fixed(flip(off, 1))})
	}
	rejected("unicast to us", "bad_hmac", Packet6{Dst: ownAddr6, DstMAC: NICMAC, Payload: fixed(flip(35, 1))})
	h.Expect("damaged, in transit", Packet6{Dst: PeerAddr6, DstMAC: NICMAC, Payload: fixed(flip(35, 1))}.Bytes(),
		Want{Verdict: XDPPass, Counts: count("bad_hmac")})
	if s := h.Seen(); s.Count != 0 || s.At != 0 {
		t.Errorf("a refused advert left a record: %+v", s)
	}
}

// TestWrongFamily: an advert over a family in which the group has no address.
func TestWrongFamily(t *testing.T) {
	h := NewHarness(t) // IPv4 alone
	c := Advert(1, 0, 0, 7)
	wrong := Want{Verdict: xdpDrop, Counts: count("wrong_family")}
	h.Expect("IPv6", frame6(c), wrong)
	h.Expect(
		"IPv6, bad hop limit first",
		Packet6{Hops: 9, Payload: c.bytes()}.Bytes(),
		Want{Verdict: xdpDrop, Counts: count("bad_ttl")},
	)
	h.Expect("IPv6, without a digest computed", frame6(damaged(c)), wrong)
	h.Expect("IPv6 in transit", Packet6{Dst: PeerAddr6, DstMAC: NICMAC, Payload: c.bytes()}.Bytes(),
		Want{Verdict: XDPPass, Counts: count("wrong_family")})
	h.Expect("IPv4", FrameOf(c), Want{Verdict: XDPPass, Counts: count("received"), events: 1})

	h.Fresh(GoldenSpec(VIP6.String()))
	c = carp{vhid: 1, base: 1, counter: 7, digest: digest(goldenKey, prefix(1, []netip.Addr{VIP6}), 7)}
	h.Expect("IPv4 of a group for IPv6", FrameOf(c), wrong)
	h.Expect("IPv6 of it", frame6(c), Want{Verdict: XDPPass, Counts: count("received"), events: 1})
	if err := h.Group.Update(GoldenSpec(DualVIPs()...)); err != nil {
		t.Fatal(err)
	}
	h.Expect(
		"after an update",
		FrameOf(DualAdvert(1, 0, 0, 8)),
		Want{Verdict: XDPPass, Counts: count("received"), events: 1},
	)
}

func TestNotOurAdverts6(t *testing.T) {
	h := NewHarness(t, DualVIPs()...)
	good := DualAdvert(1, 0, 0, 7)
	other := good
	other.vhid = 2
	pass := func(name string, p Packet6, names ...string) {
		t.Helper()
		h.Expect(name, p.Bytes(), Want{Verdict: XDPPass, Counts: count(names...)})
	}
	pass("other vhid", Packet6{Payload: other.bytes()}, "if_bad_vhid")
	pass("no vhid", Packet6{Payload: []byte{0x21}}, "if_bad_length")
	pass("no payload", Packet6{}, "if_bad_length")
	pass("other group", Packet6{Dst: netip.MustParseAddr("ff02::13"), Payload: good.bytes()})
	pass("other scope", Packet6{Dst: netip.MustParseAddr("ff05::12"), Payload: good.bytes()})
	pass("other protocol", Packet6{Next: 17, Payload: good.bytes()})
	pass("other NIC", Packet6{DstMAC: PeerMAC, Payload: good.bytes()})
	for name, header := range map[string][]byte{
		"hop-by-hop":          {112, 0, 5, 2, 0, 0, 1, 0},
		"destination options": {112, 0, 1, 4, 0, 0, 0, 0},
		"fragment":            {112, 0, 0, 1, 0, 0, 0, 9},
	} {
		next := map[string]uint8{"hop-by-hop": 0, "destination options": 60, "fragment": 44}[name]
		f := Packet6{Next: 1, Payload: append(header, good.bytes()...)}
		b := f.Bytes()
		b[20] = next
		h.Expect(name, b, Want{Verdict: XDPPass})
	}
	b := frame6(good)
	b[14] = 0x40
	h.Expect("version", b, Want{Verdict: XDPPass})
}

func TestTruncatedAdverts6(t *testing.T) {
	h := NewHarness(t, DualVIPs()...)
	for name, payload := range map[string][]byte{
		"advert": DualAdvert(1, 0, 0, 7).bytes(), "vrrp3": vrrp3v6(1, 3, PeerAddr6, carpGroup6),
	} {
		f := Packet6{Payload: payload}.Bytes()
		for n := 14; n < len(f); n++ {
			w := Want{Verdict: XDPPass}
			switch {
			case n >= 56:
				w = Want{Verdict: xdpDrop, Counts: count("bad_length")}
			case n >= 54:
				w.Counts = count("if_bad_length")
			}
			h.Expect(name, f[:n], w)
		}
	}
}

func TestForeignVRRP6(t *testing.T) {
	h := NewHarness(t, DualVIPs()...)
	foreign := Want{Verdict: XDPPass, Counts: count("if_foreign_vrrp", "group_foreign_vrrp")}
	for n := range 90 { // what a frame of 1500 bytes holds
		h.Expect("version 3", Packet6{Payload: vrrp3v6(1, n, PeerAddr6, carpGroup6)}.Bytes(), foreign)
	}
	h.Expect(
		"other vrid",
		Packet6{Payload: vrrp3v6(9, 2, PeerAddr6, carpGroup6)}.Bytes(),
		Want{Verdict: XDPPass, Counts: count("if_foreign_vrrp")},
	)
	bad := vrrp3v6(1, 2, PeerAddr6, carpGroup6)
	bad[2]++
	h.Expect("bad checksum", Packet6{Payload: bad}.Bytes(), Want{Verdict: xdpDrop, Counts: count("bad_version")})
	h.Expect(
		"of another source",
		Packet6{Src: netip.MustParseAddr("fe80::77"), Payload: vrrp3v6(1, 2, PeerAddr6, carpGroup6)}.Bytes(),
		Want{Verdict: xdpDrop, Counts: count("bad_version")},
	)
	h.Expect("with the length of IPv4 addresses", Packet6{Payload: vrrp3(1, 2, PeerAddr, carpGroup)}.Bytes(),
		Want{Verdict: xdpDrop, Counts: count("bad_version")})
}
