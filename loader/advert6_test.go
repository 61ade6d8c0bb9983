// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"net/netip"
	"testing"
)

func frame6(c carp) []byte { return packet6{payload: c.bytes()}.bytes() }

func TestAdvert6Accepted(t *testing.T) {
	h := newHarness(t, dualVIPs()...)
	ok := want{verdict: xdpPass, counts: count("received"), events: 1}
	c := dualAdvert(1, 100, 3, 7)
	h.expect("plain", frame6(c), ok)
	h.expect("the same digest over IPv4", frameOf(c), ok)
	h.expect("trailing bytes that sum to zero", packet6{payload: append(c.bytes(), 0, 0, 0)}.bytes(), ok)
	h.expect("ethernet padding", append(frame6(c), 1, 2, 3), ok)
	h.expect("no source address", packet6{src: netip.IPv6Unspecified(), payload: c.bytes()}.bytes(), ok)
	h.expect("group in a unicast frame", packet6{dstMAC: nicMAC, payload: c.bytes()}.bytes(), ok)
	h.expect("unicast to us", packet6{dstMAC: nicMAC, dst: ownAddr6, payload: c.bytes()}.bytes(),
		want{verdict: xdpDrop, counts: count("received", "drop_unicast_advert"), events: 1})
	h.expect("unicast to us, at the virtual MAC", packet6{dstMAC: vmac(1), dst: ownAddr6, payload: c.bytes()}.bytes(),
		want{verdict: xdpDrop, counts: count("received", "drop_unicast_advert"), events: 1})
	h.expect("unicast in transit", packet6{dstMAC: nicMAC, dst: peerAddr6, payload: c.bytes()}.bytes(), ok)

	h.run(frame6(c))
	s := h.seen()
	evs := h.drain()
	if len(evs) == 0 || s.Event != evs[len(evs)-1] || s.Src != peerAddr6 || s.SrcMAC != vmac(1) || s.TTL != 255 ||
		s.AdvBase != 1 || s.AdvSkew != 100 || s.Demote != 3 || s.Counter != 7 || s.VHID != 1 {
		t.Errorf("recorded %+v, events %+v", s, evs)
	}
}

// TestGoldenVector6 is V-D5a over IPv6, and what OpenBSD sends: link-local addresses left out.
func TestGoldenVector6(t *testing.T) {
	vips := []string{"192.0.2.1", "2001:db8::2", "fe80::200:5eff:fe00:101", "2001:db8::1"}
	h := newHarness(t, vips...)
	s := goldenSpec(vips...)
	without := []netip.Addr{s.VIPs[0], s.VIPs[1], s.VIPs[3]}
	s.Contexts = append(s.Contexts, AuthContext{Key: goldenKey, Prefix: prefix(1, without)})
	h.fresh(s)
	all := mustHex("210100070001e4740123456789abcdef24210307a8b37852c540f83dbfa931a83b8329da")
	h.expect("all addresses", packet6{payload: all}.bytes(), want{verdict: xdpPass, counts: count("received"), events: 1})
	c := carp{vhid: 1, base: 1, counter: 9, digest: digest(goldenKey, prefix(1, without), 9)}
	h.expect("no link-local ones", frame6(c), want{verdict: xdpPass, counts: count("received"), events: 1})
	if ctx := h.seen().Context; ctx != 1 {
		t.Errorf("context %d, want 1", ctx)
	}
}

func TestAdvert6Yields(t *testing.T) {
	h := newHarness(t, dualVIPs()...)
	h.master(5)
	h.g.SetSentPriority(Priority{AdvBase: 1, AdvSkew: 10})
	h.expect("worse", frame6(dualAdvert(1, 11, 0, 7)), want{verdict: xdpPass, counts: count("received"), events: 1})
	h.expect("equal", frame6(dualAdvert(1, 10, 0, 7)), want{verdict: xdpPass, counts: count("received", "yields"), events: 1})
	if s := h.seen(); s.YieldedGeneration != 5 || !s.Yielded {
		t.Errorf("recorded %+v", s)
	}
}

func TestLoop6(t *testing.T) {
	h := newHarness(t, dualVIPs()...)
	c := dualAdvert(1, 10, 0, 1000)
	h.g.RecordSent(c.counter, c.digest, Priority{AdvBase: 1, AdvSkew: 10})
	h.expect("loop", packet6{src: ownAddr6, payload: c.bytes()}.bytes(), want{verdict: xdpDrop, counts: count("loop")})
	h.expect("from another source", frame6(c), want{verdict: xdpPass, counts: count("received", "own_counter"), events: 1})
}

func TestAdvert6Rejected(t *testing.T) {
	h := newHarness(t, dualVIPs()...)
	good := dualAdvert(1, 0, 0, 7).bytes()
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
	rejected := func(name, reason string, p packet6) {
		t.Helper()
		h.expect(name, p.bytes(), want{verdict: xdpDrop, counts: count(reason)})
	}
	for _, hops := range []uint8{254, 64, 1} {
		rejected("hop limit", "bad_ttl", packet6{hops: hops, payload: good})
	}
	for _, v := range []byte{0x01, 0x11, 0x31, 0x41} {
		rejected("version", "bad_version", packet6{payload: fixed(append([]byte{v}, good[1:]...))})
	}
	rejected("version 2 of VRRP, which has no IPv6", "bad_length", packet6{payload: vrrp2(1, 2)})
	for _, n := range []int{2, 7, 8, 35} {
		rejected("short payload", "bad_length", packet6{payload: good[:n]})
	}
	rejected("payload length beyond the frame", "bad_length", packet6{payload: good, lengthDelta: 1})
	rejected("payload length too small", "bad_length", packet6{payload: good, lengthDelta: -1})
	for _, off := range []int{2, 3, 4, 5, 6, 7, 20, 35} {
		rejected("checksum", "bad_checksum", packet6{payload: flip(off, 1)})
	}
	pseudo := append([]byte(nil), good...)
	pseudo[6], pseudo[7] = 0, 0
	s := sum16(pseudo6(peerAddr6, carpGroup6, 112, 36), pseudo)
	pseudo[6], pseudo[7] = byte(s>>8), byte(s)
	rejected("checksum with a pseudo-header", "bad_checksum", packet6{payload: pseudo})
	rejected("trailing bytes that do not sum to zero", "bad_checksum", packet6{payload: append(append([]byte(nil), good...), 1)})
	for _, off := range []int{8, 15, 16, 35} {
		rejected("digest", "bad_hmac", packet6{payload: fixed(flip(off, 1))})
	}
	rejected("unicast to us", "bad_hmac", packet6{dst: ownAddr6, dstMAC: nicMAC, payload: fixed(flip(35, 1))})
	h.expect("damaged, in transit", packet6{dst: peerAddr6, dstMAC: nicMAC, payload: fixed(flip(35, 1))}.bytes(),
		want{verdict: xdpPass, counts: count("bad_hmac")})
	if s := h.seen(); s.Count != 0 || s.At != 0 {
		t.Errorf("a refused advert left a record: %+v", s)
	}
}

// TestWrongFamily: an advert over a family in which the group has no address.
func TestWrongFamily(t *testing.T) {
	h := newHarness(t) // IPv4 alone
	c := advert(1, 0, 0, 7)
	wrong := want{verdict: xdpDrop, counts: count("wrong_family")}
	h.expect("IPv6", frame6(c), wrong)
	h.expect("IPv6, bad hop limit first", packet6{hops: 9, payload: c.bytes()}.bytes(), want{verdict: xdpDrop, counts: count("bad_ttl")})
	h.expect("IPv6, without a digest computed", frame6(damaged(c)), wrong)
	h.expect("IPv6 in transit", packet6{dst: peerAddr6, dstMAC: nicMAC, payload: c.bytes()}.bytes(),
		want{verdict: xdpPass, counts: count("wrong_family")})
	h.expect("IPv4", frameOf(c), want{verdict: xdpPass, counts: count("received"), events: 1})

	h.fresh(goldenSpec(vip6.String()))
	c = carp{vhid: 1, base: 1, counter: 7, digest: digest(goldenKey, prefix(1, []netip.Addr{vip6}), 7)}
	h.expect("IPv4 of a group for IPv6", frameOf(c), wrong)
	h.expect("IPv6 of it", frame6(c), want{verdict: xdpPass, counts: count("received"), events: 1})
	if err := h.g.Update(goldenSpec(dualVIPs()...)); err != nil {
		t.Fatal(err)
	}
	h.expect("after an update", frameOf(dualAdvert(1, 0, 0, 8)), want{verdict: xdpPass, counts: count("received"), events: 1})
}

func TestNotOurAdverts6(t *testing.T) {
	h := newHarness(t, dualVIPs()...)
	good := dualAdvert(1, 0, 0, 7)
	other := good
	other.vhid = 2
	pass := func(name string, p packet6, names ...string) {
		t.Helper()
		h.expect(name, p.bytes(), want{verdict: xdpPass, counts: count(names...)})
	}
	pass("other vhid", packet6{payload: other.bytes()}, "if_bad_vhid")
	pass("no vhid", packet6{payload: []byte{0x21}}, "if_bad_length")
	pass("no payload", packet6{}, "if_bad_length")
	pass("other group", packet6{dst: netip.MustParseAddr("ff02::13"), payload: good.bytes()})
	pass("other scope", packet6{dst: netip.MustParseAddr("ff05::12"), payload: good.bytes()})
	pass("other protocol", packet6{next: 17, payload: good.bytes()})
	pass("other NIC", packet6{dstMAC: peerMAC, payload: good.bytes()})
	for name, header := range map[string][]byte{
		"hop-by-hop":          {112, 0, 5, 2, 0, 0, 1, 0},
		"destination options": {112, 0, 1, 4, 0, 0, 0, 0},
		"fragment":            {112, 0, 0, 1, 0, 0, 0, 9},
	} {
		next := map[string]uint8{"hop-by-hop": 0, "destination options": 60, "fragment": 44}[name]
		f := packet6{next: 1, payload: append(header, good.bytes()...)}
		b := f.bytes()
		b[20] = next
		h.expect(name, b, want{verdict: xdpPass})
	}
	b := frame6(good)
	b[14] = 0x40
	h.expect("version", b, want{verdict: xdpPass})
}

func TestTruncatedAdverts6(t *testing.T) {
	h := newHarness(t, dualVIPs()...)
	for name, payload := range map[string][]byte{
		"advert": dualAdvert(1, 0, 0, 7).bytes(), "vrrp3": vrrp3v6(1, 3, peerAddr6, carpGroup6),
	} {
		f := packet6{payload: payload}.bytes()
		for n := 14; n < len(f); n++ {
			w := want{verdict: xdpPass}
			switch {
			case n >= 56:
				w = want{verdict: xdpDrop, counts: count("bad_length")}
			case n >= 54:
				w.counts = count("if_bad_length")
			}
			h.expect(name, f[:n], w)
		}
	}
}

func TestForeignVRRP6(t *testing.T) {
	h := newHarness(t, dualVIPs()...)
	foreign := want{verdict: xdpPass, counts: count("if_foreign_vrrp", "group_foreign_vrrp")}
	for n := range 90 { // what a frame of 1500 bytes holds
		h.expect("version 3", packet6{payload: vrrp3v6(1, n, peerAddr6, carpGroup6)}.bytes(), foreign)
	}
	h.expect("other vrid", packet6{payload: vrrp3v6(9, 2, peerAddr6, carpGroup6)}.bytes(), want{verdict: xdpPass, counts: count("if_foreign_vrrp")})
	bad := vrrp3v6(1, 2, peerAddr6, carpGroup6)
	bad[2]++
	h.expect("bad checksum", packet6{payload: bad}.bytes(), want{verdict: xdpDrop, counts: count("bad_version")})
	h.expect("of another source", packet6{src: netip.MustParseAddr("fe80::77"), payload: vrrp3v6(1, 2, peerAddr6, carpGroup6)}.bytes(),
		want{verdict: xdpDrop, counts: count("bad_version")})
	h.expect("with the length of IPv4 addresses", packet6{payload: vrrp3(1, 2, peerAddr, carpGroup)}.bytes(),
		want{verdict: xdpDrop, counts: count("bad_version")})
}
