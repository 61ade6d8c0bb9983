// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"testing"
)

func TestAdvertAccepted(t *testing.T) {
	h := NewHarness(t)
	ok := Want{Verdict: XDPPass, Counts: count("received"), events: 1}
	c := Advert(1, 100, 0, 7)
	plain := Packet{Payload: c.bytes()}
	h.Expect("plain", plain.Bytes(), ok)
	h.Expect("replayed, as all BSDs accept", plain.Bytes(), ok)
	for _, typ := range []uint8{0x20, 0x22, 0x2f} {
		c := c
		c.version = typ
		h.Expect("type is not checked", Packet{Payload: c.bytes()}.Bytes(), ok)
	}
	for _, authlen := range []uint8{1, 5, 255} {
		c := c
		c.authlen = authlen
		if authlen == 5 {
			continue // a VRRPv2 advert of five addresses to the byte, see TestForeignVRRP
		}
		h.Expect("authlen is not checked", Packet{Payload: c.bytes()}.Bytes(), ok)
	}
	h.Expect("demote", Packet{Payload: Advert(1, 0, 32, 7).bytes()}.Bytes(), ok)
	h.Expect("goodbye", Packet{Payload: Advert(255, 255, 0, 7).bytes()}.Bytes(), ok)
	h.Expect("options", Packet{options: []byte{0x94, 4, 0, 0}, Payload: c.bytes()}.Bytes(), ok)
	h.Expect("40 bytes of options", Packet{options: make([]byte, 40), Payload: c.bytes()}.Bytes(), ok)
	h.Expect("ethernet padding", append(plain.Bytes(), 1, 2, 3, 4, 5), ok)
	h.Expect("trailing bytes that sum to zero", Packet{Payload: append(c.bytes(), 0, 0, 0)}.Bytes(), ok)
	h.Expect("no source address", Packet{Src: netip.MustParseAddr("0.0.0.0"), Payload: c.bytes()}.Bytes(), ok)
	h.Expect("ucarp's source MAC", Packet{SrcMAC: [6]byte{0, 0, 0x5e, 0, 0, 1}, Payload: c.bytes()}.Bytes(), ok)
	h.Expect("ucarp --nomcast", Packet{DstMAC: BroadcastMAC, Payload: c.bytes()}.Bytes(), ok)
	h.Expect("group in a unicast frame", Packet{DstMAC: NICMAC, Payload: c.bytes()}.Bytes(), ok)
	for _, counter := range []uint64{0, 1 << 63, 1<<64 - 1, 0, 5, 4} {
		h.Expect("any order of counters", Packet{Payload: Advert(1, 0, 0, counter).bytes()}.Bytes(), ok)
	}
	h.Expect("unicast to us", Packet{DstMAC: NICMAC, Dst: ownAddr, Payload: c.bytes()}.Bytes(),
		Want{Verdict: xdpDrop, Counts: count("received", "drop_unicast_advert"), events: 1})
	h.Expect("unicast in transit", Packet{DstMAC: NICMAC, Dst: PeerAddr, Payload: c.bytes()}.Bytes(), ok)
	if err := h.Group.SetSources(nil); err != nil {
		t.Fatal(err)
	}
	for _, dst := range []netip.Addr{PeerAddr, ownAddr} {
		h.Expect(
			"unicast, no source known: in transit or not",
			Packet{DstMAC: NICMAC, Dst: dst, Payload: c.bytes()}.Bytes(),
			ok,
		)
		h.Expect("damaged, no source known", Packet{DstMAC: NICMAC, Dst: dst, Payload: damaged(c).bytes()}.Bytes(),
			Want{Verdict: XDPPass, Counts: count("bad_hmac")})
	}
}

func TestAdvertRejected(t *testing.T) {
	h := NewHarness(t)
	good := Advert(1, 0, 0, 7).bytes()
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
	rejected := func(name, reason string, p Packet) {
		t.Helper()
		h.Expect(name, p.Bytes(), Want{Verdict: xdpDrop, Counts: count(reason)})
	}
	for _, ttl := range []uint8{254, 1} {
		rejected("ttl", "bad_ttl", Packet{TTL: ttl, Payload: good})
	}
	for _, v := range []byte{0x01, 0x11, 0x41, 0xf1} {
		rejected("version", "bad_version", Packet{Payload: fixed(append([]byte{v}, good[1:]...))})
	}
	h.Expect(
		"version 3 with seven addresses, for all that can be told",
		Packet{Payload: fixed(append([]byte{0x31}, good[1:]...))}.Bytes(),
		Want{Verdict: XDPPass, Counts: count("if_foreign_vrrp", "group_foreign_vrrp")},
	)
	for _, n := range []int{2, 7, 8, 35} {
		rejected("short payload", "bad_length", Packet{Payload: good[:n]})
	}
	rejected("short and of another version", "bad_version", Packet{Payload: append([]byte{0x31}, good[1:20]...)})
	rejected("total length beyond the frame", "bad_length", Packet{Payload: good, totalDelta: 1})
	rejected("total length below the header", "bad_length", Packet{Payload: good, totalDelta: -4})
	for _, off := range []int{0, 1, 2, 3, 4, 5, 6, 7, 20, 35} {
		if off == 0 || off == 1 {
			continue // version and VHID: other reasons
		}
		rejected("checksum", "bad_checksum", Packet{Payload: flip(off, 1)})
	}
	rejected("ip checksum", "bad_checksum", Packet{Payload: good, badSum: true})
	rejected("ip checksum with options", "bad_checksum", Packet{Payload: good, badSum: true, options: make([]byte, 8)})
	rejected(
		"trailing bytes that do not sum to zero",
		"bad_checksum",
		Packet{Payload: append(append([]byte(nil), good...), 1)},
	)
	rejected(
		"trailing bytes beyond reason",
		"bad_checksum",
		Packet{Payload: append(append([]byte(nil), good...), make([]byte, 1500)...)},
	)
	for _, off := range []int{8, 15, 16, 35} {
		rejected("digest", "bad_hmac", Packet{Payload: fixed(flip(off, 1))})
	}
	rejected(
		"other key",
		"bad_hmac",
		Packet{
			Payload: carp{
				vhid:    1,
				base:    1,
				counter: 7,
				digest:  digest([]byte("x"), prefix(1, []netip.Addr{netip.MustParseAddr("192.0.2.1")}), 7),
			}.bytes(),
		},
	)
	rejected(
		"other addresses",
		"bad_hmac",
		Packet{
			Payload: carp{
				vhid:    1,
				base:    1,
				counter: 7,
				digest:  digest(goldenKey, prefix(1, []netip.Addr{netip.MustParseAddr("192.0.2.3")}), 7),
			}.bytes(),
		},
	)
	rejected("unicast to us", "bad_hmac", Packet{Dst: ownAddr, DstMAC: NICMAC, Payload: fixed(flip(35, 1))})
	h.Expect("damaged, in transit", Packet{Dst: PeerAddr, DstMAC: NICMAC, Payload: fixed(flip(35, 1))}.Bytes(),
		Want{Verdict: XDPPass, Counts: count("bad_hmac")})
	if s := h.Seen(); s.Count != 0 || s.At != 0 {
		t.Errorf("a refused advert left a record: %+v", s)
	}
}

func TestNotOurAdverts(t *testing.T) {
	h := NewHarness(t)
	good := Advert(1, 0, 0, 7)
	other := good
	other.vhid = 2
	zero := good
	zero.vhid = 0
	pass := func(name string, p Packet, names ...string) {
		t.Helper()
		h.Expect(name, p.Bytes(), Want{Verdict: XDPPass, Counts: count(names...)})
	}
	pass("other vhid", Packet{Payload: other.bytes()}, "if_bad_vhid")
	pass("vhid 0", Packet{Payload: zero.bytes()}, "if_bad_vhid")
	pass("no vhid", Packet{Payload: []byte{0x21}}, "if_bad_length")
	pass("no payload", Packet{}, "if_bad_length")
	pass("other group", Packet{Dst: netip.MustParseAddr("224.0.0.19"), Payload: good.bytes()})
	pass("limited broadcast", Packet{Dst: netip.MustParseAddr("255.255.255.255"), Payload: good.bytes()})
	pass("other protocol", Packet{Proto: 17, Payload: good.bytes()})
	pass("other NIC", Packet{DstMAC: PeerMAC, Payload: good.bytes()})
	pass("first fragment", Packet{frag: 0x2000, Payload: good.bytes()})
	pass("last fragment", Packet{frag: 5, Payload: good.bytes()})
	pass("total length below 20", Packet{Payload: good.bytes(), totalDelta: -40})
	f := Packet{Payload: good.bytes()}.Bytes()
	for _, first := range []byte{0x44, 0x40, 0x55, 0x65} {
		b := append([]byte(nil), f...)
		b[14] = first
		h.Expect("header length or version", b, Want{Verdict: XDPPass})
	}
	tagged := append(append(append([]byte(nil), f[:12]...), 0x81, 0, 0, 5), f[12:]...)
	h.Expect("tagged", tagged, Want{Verdict: XDPPass})
	v6 := append(eth([6]byte{0x33, 0x33, 0, 0, 0, 0x12}, VMAC(1), 0x86dd), f[14:]...)
	h.Expect("ipv6", v6, Want{Verdict: XDPPass})
}

// TestTruncatedAdverts cuts frames at every byte: no prefix does anything but be
// counted as too short, and none of less than a VHID is laid at our group's door.
func TestTruncatedAdverts(t *testing.T) {
	h := NewHarness(t)
	for name, p := range map[string]Packet{
		"plain":   {Payload: Advert(1, 0, 0, 7).bytes()},
		"options": {Payload: Advert(1, 0, 0, 7).bytes(), options: make([]byte, 8)},
		"vrrp2":   {Payload: vrrp2(1, 3)},
		"vrrp3":   {Payload: vrrp3(1, 3, PeerAddr, carpGroup)},
	} {
		f := p.Bytes()
		start := 34 + len(p.options)
		for n := 14; n < len(f); n++ {
			w := Want{Verdict: XDPPass}
			switch {
			case n >= start+2:
				w = Want{Verdict: xdpDrop, Counts: count("bad_length")}
			case n >= 34:
				w.Counts = count("if_bad_length")
			}
			h.Expect(name, f[:n], w)
		}
	}
}

func TestForeignVRRP(t *testing.T) {
	h := NewHarness(t)
	for n := range 256 {
		w := Want{Verdict: XDPPass, Counts: count("if_foreign_vrrp", "group_foreign_vrrp")}
		h.Expect("version 2", Packet{Payload: vrrp2(1, n)}.Bytes(), w)
		h.Expect("version 3", Packet{Payload: vrrp3(1, n, PeerAddr, carpGroup)}.Bytes(), w)
		h.Expect("version 3 without a pseudo-header", Packet{Payload: vrrp3Plain(1, n)}.Bytes(), w)
	}
	h.Expect("with options", Packet{Payload: vrrp3(1, 2, PeerAddr, carpGroup), options: make([]byte, 4)}.Bytes(),
		Want{Verdict: XDPPass, Counts: count("if_foreign_vrrp", "group_foreign_vrrp")})
	h.Expect(
		"other vrid, version 2",
		Packet{Payload: vrrp2(9, 1)}.Bytes(),
		Want{Verdict: XDPPass, Counts: count("if_foreign_vrrp")},
	)
	h.Expect(
		"other vrid, version 3 without a pseudo-header",
		Packet{Payload: vrrp3Plain(9, 1)}.Bytes(),
		Want{Verdict: XDPPass, Counts: count("if_foreign_vrrp")},
	)
	h.Expect(
		"version 3 over IPv6 has a pseudo-header",
		Packet6{Payload: noPseudo6()}.Bytes(),
		Want{Verdict: xdpDrop, Counts: count("bad_version")},
	)
	h.Expect(
		"other vrid, version 3",
		Packet{Payload: vrrp3(9, 1, PeerAddr, carpGroup)}.Bytes(),
		Want{Verdict: XDPPass, Counts: count("if_foreign_vrrp")},
	)

	bad3 := vrrp3(1, 2, PeerAddr, carpGroup)
	bad3[2]++
	h.Expect(
		"version 3, bad checksum",
		Packet{Payload: bad3}.Bytes(),
		Want{Verdict: xdpDrop, Counts: count("bad_version")},
	)
	h.Expect("version 3, other length", Packet{Payload: append(vrrp3(1, 2, PeerAddr, carpGroup), 0, 0, 0, 0)}.Bytes(),
		Want{Verdict: xdpDrop, Counts: count("bad_version")})
	h.Expect(
		"version 3, of another source",
		Packet{Src: netip.MustParseAddr("192.0.2.77"), Payload: vrrp3(1, 2, PeerAddr, carpGroup)}.Bytes(),
		Want{Verdict: xdpDrop, Counts: count("bad_version")},
	)
	bad2 := vrrp2(1, 2)
	bad2[2]++
	h.Expect("version 2, bad checksum", Packet{Payload: bad2}.Bytes(), Want{Verdict: xdpDrop, Counts: count("bad_length")})
	h.Expect(
		"version 2, one byte more",
		Packet{Payload: append(vrrp2(1, 1), 0)}.Bytes(),
		Want{Verdict: xdpDrop, Counts: count("bad_length")},
	)
	// 36 bytes with authlen 7 are CARP, never VRRP; with 5 they are VRRPv2 to the byte.
	five := Advert(1, 0, 0, 7)
	five.authlen = 5
	h.Expect("36 bytes with a count of 5", Packet{Payload: five.bytes()}.Bytes(),
		Want{Verdict: XDPPass, Counts: count("if_foreign_vrrp", "group_foreign_vrrp")})
}
