// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"net/netip"
	"testing"
)

func TestAdvertAccepted(t *testing.T) {
	h := newHarness(t)
	ok := want{verdict: xdpPass, counts: count("received"), events: 1}
	c := advert(1, 100, 0, 7)
	plain := packet{payload: c.bytes()}
	h.expect("plain", plain.bytes(), ok)
	h.expect("replayed, as all BSDs accept", plain.bytes(), ok)
	for _, typ := range []uint8{0x20, 0x22, 0x2f} {
		c := c
		c.version = typ
		h.expect("type is not checked", packet{payload: c.bytes()}.bytes(), ok)
	}
	for _, authlen := range []uint8{1, 5, 255} {
		c := c
		c.authlen = authlen
		if authlen == 5 {
			continue // a VRRPv2 advert of five addresses to the byte, see TestForeignVRRP
		}
		h.expect("authlen is not checked", packet{payload: c.bytes()}.bytes(), ok)
	}
	h.expect("demote", packet{payload: advert(1, 0, 32, 7).bytes()}.bytes(), ok)
	h.expect("goodbye", packet{payload: advert(255, 255, 0, 7).bytes()}.bytes(), ok)
	h.expect("options", packet{options: []byte{0x94, 4, 0, 0}, payload: c.bytes()}.bytes(), ok)
	h.expect("40 bytes of options", packet{options: make([]byte, 40), payload: c.bytes()}.bytes(), ok)
	h.expect("ethernet padding", append(plain.bytes(), 1, 2, 3, 4, 5), ok)
	h.expect("trailing bytes that sum to zero", packet{payload: append(c.bytes(), 0, 0, 0)}.bytes(), ok)
	h.expect("no source address", packet{src: netip.MustParseAddr("0.0.0.0"), payload: c.bytes()}.bytes(), ok)
	h.expect("ucarp's source MAC", packet{srcMAC: [6]byte{0, 0, 0x5e, 0, 0, 1}, payload: c.bytes()}.bytes(), ok)
	h.expect("ucarp --nomcast", packet{dstMAC: broadcastMAC, payload: c.bytes()}.bytes(), ok)
	h.expect("group in a unicast frame", packet{dstMAC: nicMAC, payload: c.bytes()}.bytes(), ok)
	for _, counter := range []uint64{0, 1 << 63, 1<<64 - 1, 0, 5, 4} {
		h.expect("any order of counters", packet{payload: advert(1, 0, 0, counter).bytes()}.bytes(), ok)
	}
	h.expect("unicast to us", packet{dstMAC: nicMAC, dst: ownAddr, payload: c.bytes()}.bytes(),
		want{verdict: xdpDrop, counts: count("received", "drop_unicast_advert"), events: 1})
	h.expect("unicast in transit", packet{dstMAC: nicMAC, dst: peerAddr, payload: c.bytes()}.bytes(), ok)
	if err := h.g.SetSources(nil); err != nil {
		t.Fatal(err)
	}
	h.expect("unicast, no source known", packet{dstMAC: nicMAC, dst: peerAddr, payload: c.bytes()}.bytes(),
		want{verdict: xdpDrop, counts: count("received", "drop_unicast_advert"), events: 1})
}

func TestAdvertRejected(t *testing.T) {
	h := newHarness(t)
	good := advert(1, 0, 0, 7).bytes()
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
	rejected := func(name, reason string, p packet) {
		t.Helper()
		h.expect(name, p.bytes(), want{verdict: xdpDrop, counts: count(reason)})
	}
	for _, ttl := range []uint8{254, 1} {
		rejected("ttl", "bad_ttl", packet{ttl: ttl, payload: good})
	}
	for _, v := range []byte{0x01, 0x11, 0x31, 0x41, 0xf1} {
		rejected("version", "bad_version", packet{payload: fixed(append([]byte{v}, good[1:]...))})
	}
	for _, n := range []int{2, 7, 8, 35} {
		rejected("short payload", "bad_length", packet{payload: good[:n]})
	}
	rejected("short and of another version", "bad_version", packet{payload: append([]byte{0x31}, good[1:20]...)})
	rejected("total length beyond the frame", "bad_length", packet{payload: good, totalDelta: 1})
	rejected("total length below the header", "bad_length", packet{payload: good, totalDelta: -4})
	for _, off := range []int{0, 1, 2, 3, 4, 5, 6, 7, 20, 35} {
		if off == 0 || off == 1 {
			continue // version and VHID: other reasons
		}
		rejected("checksum", "bad_checksum", packet{payload: flip(off, 1)})
	}
	rejected("ip checksum", "bad_checksum", packet{payload: good, badSum: true})
	rejected("ip checksum with options", "bad_checksum", packet{payload: good, badSum: true, options: make([]byte, 8)})
	rejected("trailing bytes that do not sum to zero", "bad_checksum", packet{payload: append(append([]byte(nil), good...), 1)})
	rejected("trailing bytes beyond reason", "bad_checksum", packet{payload: append(append([]byte(nil), good...), make([]byte, 1500)...)})
	for _, off := range []int{8, 15, 16, 35} {
		rejected("digest", "bad_hmac", packet{payload: fixed(flip(off, 1))})
	}
	rejected("other key", "bad_hmac", packet{payload: carp{vhid: 1, base: 1, counter: 7, digest: digest([]byte("x"), prefix(1, []netip.Addr{netip.MustParseAddr("192.0.2.1")}), 7)}.bytes()})
	rejected("other addresses", "bad_hmac", packet{payload: carp{vhid: 1, base: 1, counter: 7, digest: digest(goldenKey, prefix(1, []netip.Addr{netip.MustParseAddr("192.0.2.3")}), 7)}.bytes()})
	rejected("unicast to us", "bad_hmac", packet{dst: ownAddr, dstMAC: nicMAC, payload: fixed(flip(35, 1))})
	h.expect("damaged, in transit", packet{dst: peerAddr, dstMAC: nicMAC, payload: fixed(flip(35, 1))}.bytes(),
		want{verdict: xdpPass, counts: count("bad_hmac")})
	if s := h.seen(); s.Count != 0 || s.At != 0 {
		t.Errorf("a refused advert left a record: %+v", s)
	}
}

func TestNotOurAdverts(t *testing.T) {
	h := newHarness(t)
	good := advert(1, 0, 0, 7)
	other := good
	other.vhid = 2
	zero := good
	zero.vhid = 0
	pass := func(name string, p packet, names ...string) {
		t.Helper()
		h.expect(name, p.bytes(), want{verdict: xdpPass, counts: count(names...)})
	}
	pass("other vhid", packet{payload: other.bytes()}, "if_bad_vhid")
	pass("vhid 0", packet{payload: zero.bytes()}, "if_bad_vhid")
	pass("no vhid", packet{payload: []byte{0x21}}, "if_bad_length")
	pass("no payload", packet{}, "if_bad_length")
	pass("other group", packet{dst: netip.MustParseAddr("224.0.0.19"), payload: good.bytes()})
	pass("limited broadcast", packet{dst: netip.MustParseAddr("255.255.255.255"), payload: good.bytes()})
	pass("other protocol", packet{proto: 17, payload: good.bytes()})
	pass("other NIC", packet{dstMAC: peerMAC, payload: good.bytes()})
	pass("first fragment", packet{frag: 0x2000, payload: good.bytes()})
	pass("last fragment", packet{frag: 5, payload: good.bytes()})
	pass("total length below 20", packet{payload: good.bytes(), totalDelta: -40})
	f := packet{payload: good.bytes()}.bytes()
	for _, first := range []byte{0x44, 0x40, 0x55, 0x65} {
		b := append([]byte(nil), f...)
		b[14] = first
		h.expect("header length or version", b, want{verdict: xdpPass})
	}
	tagged := append(append(append([]byte(nil), f[:12]...), 0x81, 0, 0, 5), f[12:]...)
	h.expect("tagged", tagged, want{verdict: xdpPass})
	v6 := append(eth([6]byte{0x33, 0x33, 0, 0, 0, 0x12}, vmac(1), 0x86dd), f[14:]...)
	h.expect("ipv6", v6, want{verdict: xdpPass})
}

// TestTruncatedAdverts cuts frames at every byte: no prefix does anything but be
// counted as too short, and none of less than a VHID is laid at our group's door.
func TestTruncatedAdverts(t *testing.T) {
	h := newHarness(t)
	for name, p := range map[string]packet{
		"plain":   {payload: advert(1, 0, 0, 7).bytes()},
		"options": {payload: advert(1, 0, 0, 7).bytes(), options: make([]byte, 8)},
		"vrrp2":   {payload: vrrp2(1, 3)},
		"vrrp3":   {payload: vrrp3(1, 3, peerAddr, carpGroup)},
	} {
		f := p.bytes()
		start := 34 + len(p.options)
		for n := 14; n < len(f); n++ {
			w := want{verdict: xdpPass}
			switch {
			case n >= start+2:
				w = want{verdict: xdpDrop, counts: count("bad_length")}
			case n >= 34:
				w.counts = count("if_bad_length")
			}
			h.expect(name, f[:n], w)
		}
	}
}

func TestForeignVRRP(t *testing.T) {
	h := newHarness(t)
	for n := range 256 {
		w := want{verdict: xdpPass, counts: count("if_foreign_vrrp", "group_foreign_vrrp")}
		h.expect("version 2", packet{payload: vrrp2(1, n)}.bytes(), w)
		h.expect("version 3", packet{payload: vrrp3(1, n, peerAddr, carpGroup)}.bytes(), w)
	}
	h.expect("with options", packet{payload: vrrp3(1, 2, peerAddr, carpGroup), options: make([]byte, 4)}.bytes(),
		want{verdict: xdpPass, counts: count("if_foreign_vrrp", "group_foreign_vrrp")})
	h.expect("other vrid, version 2", packet{payload: vrrp2(9, 1)}.bytes(), want{verdict: xdpPass, counts: count("if_foreign_vrrp")})
	h.expect("other vrid, version 3", packet{payload: vrrp3(9, 1, peerAddr, carpGroup)}.bytes(), want{verdict: xdpPass, counts: count("if_foreign_vrrp")})

	bad3 := vrrp3(1, 2, peerAddr, carpGroup)
	bad3[2]++
	h.expect("version 3, bad checksum", packet{payload: bad3}.bytes(), want{verdict: xdpDrop, counts: count("bad_version")})
	h.expect("version 3, other length", packet{payload: append(vrrp3(1, 2, peerAddr, carpGroup), 0, 0, 0, 0)}.bytes(),
		want{verdict: xdpDrop, counts: count("bad_version")})
	h.expect("version 3, of another source", packet{src: netip.MustParseAddr("192.0.2.77"), payload: vrrp3(1, 2, peerAddr, carpGroup)}.bytes(),
		want{verdict: xdpDrop, counts: count("bad_version")})
	bad2 := vrrp2(1, 2)
	bad2[2]++
	h.expect("version 2, bad checksum", packet{payload: bad2}.bytes(), want{verdict: xdpDrop, counts: count("bad_length")})
	h.expect("version 2, one byte more", packet{payload: append(vrrp2(1, 1), 0)}.bytes(), want{verdict: xdpDrop, counts: count("bad_length")})
	// 36 bytes with authlen 7 are CARP, never VRRP; with 5 they are VRRPv2 to the byte.
	five := advert(1, 0, 0, 7)
	five.authlen = 5
	h.expect("36 bytes with a count of 5", packet{payload: five.bytes()}.bytes(),
		want{verdict: xdpPass, counts: count("if_foreign_vrrp", "group_foreign_vrrp")})
}
