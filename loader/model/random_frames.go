// SPDX-License-Identifier: Apache-2.0

package model

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
)

// Frames of a random world: close to ours, and related to what has happened so far.

func (s *randomWorld) frameFor() []byte {
	s.outgoing = false
	if f := s.next; f != nil {
		s.next = nil
		return f
	}
	if len(s.heard) > 0 && s.IntN(12) == 0 { // once more, as it was
		return oneOf(s.Rand, s.heard...)
	}
	if s.history.on && s.IntN(2) == 0 {
		return s.advertOfHistory()
	}
	f := s.whole()
	f = f[:min(len(f), 3000)] // a test run takes a page
	if s.IntN(3) == 0 {
		f = damage(s.Rand, f)
	}
	if s.IntN(8) == 0 {
		f = withTags(f, s.tags()...)
	}
	if len(s.heard) < 16 {
		s.heard = append(s.heard, f)
	} else if s.IntN(4) == 0 {
		s.heard[s.IntN(len(s.heard))] = f
	}
	return f
}

// tags returns known tags, a priority alone, both, others, or one too many.
func (s *randomWorld) tags() []uint32 {
	const priority = 0x8100 << 16
	known := oneOf(s.Rand, testVLANs()...)
	switch s.IntN(10) {
	case 0:
		return []uint32{priority}
	case 1:
		return slices.Concat([]uint32{priority}, known)
	case 2:
		return slices.Concat(known, []uint32{priority})
	case 3:
		return slices.Concat(known, []uint32{0x8100<<16 | 5})
	case 4:
		return oneOf(s.Rand, []uint32{0x8100<<16 | 7}, []uint32{0x88a8<<16 | 100}, []uint32{priority, priority})
	}
	return known
}

// damage changes bits, lengths and headers. Half of the damaged frames get correct checksums, so that later checks run.
func damage(r *rand.Rand, f []byte) []byte {
	for range 1 + r.IntN(3) {
		switch r.IntN(5) {
		case 0, 1:
			f[r.IntN(len(f))] ^= byte(1 << r.IntN(8))
		case 2:
			f[r.IntN(min(len(f), 80))] = byte(r.Uint32())
		case 3:
			f = f[:14+r.IntN(len(f)-13)]
		case 4:
			f = append(f, make([]byte, 1+r.IntN(40))...)
			f[len(f)-1] = byte(r.Uint32())
		}
	}
	if r.IntN(2) == 0 {
		mend(f)
	}
	return f
}

func (s *randomWorld) whole() []byte {
	g, _ := s.some()
	switch s.IntN(20) {
	case 0:
		return s.noise()
	case 1, 2:
		return s.asks4(g)
	case 3, 4:
		return s.asks6(g)
	case 5, 6:
		return s.speaks(g)
	case 7:
		mac := oneOf(s.Rand, VMAC(g.VHID), VMAC(9), g.NICMAC, PeerMAC)
		if s.IntN(2) == 0 {
			return Packet6{DstMAC: mac, Next: 17, Payload: make([]byte, s.IntN(60))}.Bytes()
		}
		return Packet{DstMAC: mac, Proto: 17, Payload: make([]byte, s.IntN(60))}.Bytes()
	case 8:
		return s.vrrp(g)
	case 9:
		return s.echo(g)
	case 10, 11:
		s.outgoing = true
		return s.advertFrom(g, oneOf(s.Rand, ownAddr, ownAddr6), s.priority())
	}
	src := oneOf(s.Rand, peers4...)
	if s.IntN(2) == 0 {
		src = oneOf(s.Rand, peers6...)
	}
	if s.IntN(6) == 0 {
		return s.hello(g, src)
	}
	return s.advertFrom(g, src, s.priority())
}

func (s *randomWorld) noise() []byte {
	f := make([]byte, 14+s.IntN(200))
	for i := range f {
		f[i] = byte(s.Uint32())
	}
	binary.BigEndian.PutUint16(f[12:], oneOf[uint16](s.Rand, 0x0800, 0x0806, 0x86dd, 0x8100, 0x88a8))
	return f
}

// mac returns a destination for a frame about a group.
func (s *randomWorld) mac(g *twinGroup) [6]byte {
	return oneOf(s.Rand, BroadcastMAC, BroadcastMAC, VMAC(g.VHID), g.NICMAC, g.NICMAC, VMAC(1), VMAC(9), PeerMAC)
}

// vip returns an address of the group of that family if it has any, else none of ours.
func (s *randomWorld) vip(g *twinGroup, six bool) netip.Addr {
	of := slices.DeleteFunc(slices.Clone(g.VIPs), func(a netip.Addr) bool { return a.Is6() != six })
	if len(of) == 0 || s.IntN(12) == 0 {
		if six {
			return oneOf(s.Rand, netip.MustParseAddr("2001:db8::7"), Shares, netip.AddrFrom16(VIPs4[0].As16()))
		}
		return netip.MustParseAddr("192.0.2.7")
	}
	return oneOf(s.Rand, of...)
}

func (s *randomWorld) asks4(g *twinGroup) []byte {
	vip := s.vip(g, false).String()
	a := ARP{
		DstMAC: s.mac(g),
		SrcMAC: PeerMAC,
		Op:     oneOf[uint16](s.Rand, 1, 1, 1, 1, 2),
		SHA:    PeerMAC,
		SIP:    oneOf(s.Rand, "192.0.2.2", "192.0.2.2", "0.0.0.0", vip),
		TIP:    vip,
	}
	switch s.IntN(10) {
	case 0:
		a.SHA = BroadcastMAC
	case 1:
		a.SHA = VMAC(g.VHID)
	}
	return s.odd(a.Bytes())
}

// odd sometimes changes the hardware type or the lengths of ARP.
func (s *randomWorld) odd(f []byte) []byte {
	switch s.IntN(12) {
	case 0:
		f[15] = oneOf[byte](s.Rand, 0, 6, 6, 6, 7, 32)
	case 1:
		f[18] = oneOf[byte](s.Rand, 0, 4, 5, 8)
	case 2:
		f[19] = oneOf[byte](s.Rand, 0, 6)
	case 3:
		f = f[:30+s.IntN(12)]
	}
	return f
}

func (s *randomWorld) asks6(g *twinGroup) []byte {
	vip := s.vip(g, true)
	n := oneOf(s.Rand, NDFor(vip), NDFor(vip), dadFor(vip), withNonce(NDFor(vip)), unicastND(vip), withNonce(dadFor(vip)))
	if s.IntN(3) == 0 {
		n.DstMAC = s.mac(g)
	}
	switch s.IntN(12) {
	case 0:
		n.Src = vip
	case 1:
		n.Options = s.ndOptions()
	case 2:
		n.Dst = oneOf(s.Rand, PeerAddr6, ownAddr6, carpGroup6)
	case 3:
		n.Options = LLOption(1, BroadcastMAC)
	}
	return n.Bytes()
}

// ndOptions returns options, whole or not, sometimes more than the programs parse.
func (s *randomWorld) ndOptions() (b []byte) {
	for range oneOf(s.Rand, 0, 1, 2, 3, 7, 8, 9) {
		o := LLOption(oneOf[uint8](s.Rand, 1, 1, 2, 2, 5, 14), oneOf(s.Rand, NICMAC, PeerMAC, BroadcastMAC))
		if s.IntN(4) == 0 {
			o[1] = oneOf(s.Rand, 0, 1, 2, 3, uint8(178+s.IntN(3))) // up to the longest message that is summed
			o = append(o, make([]byte, max(0, 8*int(o[1])-8))...)
		}
		b = append(b, o...)
	}
	return b
}

// speaks returns a frame that a host sends, mostly from a VIP.
func (s *randomWorld) speaks(g *twinGroup) []byte {
	s.outgoing = true
	four, six := oneOf(
		s.Rand,
		s.vip(g, false),
		s.vip(g, false),
		ownAddr,
	), oneOf(s.Rand, s.vip(g, true), s.vip(g, true), ownAddr6)
	switch s.IntN(6) {
	case 0:
		return Packet{
			Src:     four,
			Dst:     PeerAddr,
			SrcMAC:  NICMAC,
			DstMAC:  PeerMAC,
			Proto:   17,
			Payload: make([]byte, s.IntN(60)),
		}.Bytes()
	case 1:
		return Packet6{
			Src:     six,
			Dst:     PeerAddr6,
			SrcMAC:  NICMAC,
			DstMAC:  PeerMAC,
			Next:    oneOf[uint8](s.Rand, 17, 58),
			Payload: make([]byte, s.IntN(60)),
		}.Bytes()
	case 2:
		return s.odd(
			ARP{
				DstMAC: BroadcastMAC,
				SrcMAC: NICMAC,
				Op:     oneOf[uint16](s.Rand, 1, 2),
				SHA:    NICMAC,
				SIP:    four.String(),
				TIP:    "192.0.2.2",
			}.Bytes(),
		)
	case 3:
		if s.IntN(3) == 0 { // of a router on the same host
			return Packet{
				Src:     ownAddr,
				Payload: oneOf(s.Rand, vrrp2(g.VHID, 5), vrrp2(g.VHID, 6), vrrp3(g.VHID, 7, ownAddr, carpGroup)),
			}.Bytes()
		}
	}
	n := ND{
		DstMAC:  PeerMAC,
		SrcMAC:  NICMAC,
		Src:     six,
		Dst:     PeerAddr6,
		Type:    oneOf[uint8](s.Rand, 133, 134, 135, 135, 136, 136, 137),
		Target:  s.vip(g, true),
		Options: s.ndOptions(),
	}
	switch n.Type {
	case 133:
		n.Target = netip.Addr{}
	case 134: // lifetimes instead of a target
		n.Target, n.Options = netip.Addr{}, slices.Concat(make([]byte, 8), n.Options)
	}
	if s.IntN(3) != 0 {
		n.Options = slices.Concat(
			n.Options[:min(len(n.Options), map[byte]int{134: 8}[n.Type])],
			LLOption(oneOf[uint8](s.Rand, 1, 2), NICMAC),
		)
	}
	n.badSum = s.IntN(8) == 0
	return n.Bytes()
}

func (s *randomWorld) vrrp(g *twinGroup) []byte {
	vrid := oneOf(s.Rand, g.VHID, g.VHID, 77)
	dst, dst6 := oneOf(s.Rand, carpGroup, carpGroup, PeerAddr), oneOf(s.Rand, carpGroup6, carpGroup6, PeerAddr6)
	n := oneOf(s.Rand, s.IntN(8), s.IntN(8), s.IntN(8), s.IntN(256), 90, 91)
	switch s.IntN(4) {
	case 0:
		return Packet{Payload: vrrp2(vrid, n)}.Bytes()
	case 1:
		return Packet{Dst: dst, Payload: oneOf(s.Rand, vrrp3(vrid, n, PeerAddr, dst), vrrp3Plain(vrid, n))}.Bytes()
	case 2: // of the other family's shape
		return Packet6{Dst: dst6, Payload: oneOf(s.Rand, vrrp2(vrid, 5), vrrp3(vrid, 4, PeerAddr, dst))}.Bytes()
	}
	return Packet6{Dst: dst6, Payload: vrrp3v6(vrid, min(n, 91), PeerAddr6, dst6)}.Bytes()
}

// mend corrects the checksums of an IPv4 header, an advert and a neighbour solicitation.
func mend(f []byte) {
	set := func(sum, from, to int, pseudo []byte) {
		if to <= len(f) && from < to && sum+2 <= to {
			f[sum], f[sum+1] = 0, 0
			binary.BigEndian.PutUint16(f[sum:], sum16(slices.Clone(pseudo), f[from:to]))
		}
	}
	if len(f) < 34 {
		return
	}
	switch binary.BigEndian.Uint16(f[12:]) {
	case 0x0800:
		hl := 4 * int(f[14]&15)
		set(24, 14, 14+hl, nil)
		set(14+hl+6, 14+hl, 14+hl+36, nil)
	case 0x86dd:
		if len(f) < 54 {
			return
		}
		plen := int(binary.BigEndian.Uint16(f[18:]))
		switch f[20] {
		case 112:
			set(60, 54, 90, nil)
		case 58:
			src, dst := netip.AddrFrom16([16]byte(f[22:38])), netip.AddrFrom16([16]byte(f[38:54]))
			set(56, 54, 54+plen, pseudo6(src, dst, 58, plen))
		}
	}
}
