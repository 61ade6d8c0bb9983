// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
)

// Frames of a random world: close to what is ours, and about what has happened there so far.

func (s *randomWorld) frameFor() []byte {
	s.outgoing = false
	if len(s.heard) > 0 && s.IntN(12) == 0 { // once more, as it was
		return oneOf(s.Rand, s.heard...)
	}
	if s.tale.on && s.IntN(2) == 0 {
		return s.tells()
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

// tags are known ones, of priority alone, both, others, and one too many.
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

// damage changes bits, lengths and headers. Half of the damaged frames have their checksums put right, so that what
// comes after is looked at.
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
		mac := oneOf(s.Rand, vmac(g.VHID), vmac(9), g.NICMAC, peerMAC)
		if s.IntN(2) == 0 {
			return packet6{dstMAC: mac, next: 17, payload: make([]byte, s.IntN(60))}.bytes()
		}
		return packet{dstMAC: mac, proto: 17, payload: make([]byte, s.IntN(60))}.bytes()
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

// mac is where a frame about a group goes to.
func (s *randomWorld) mac(g *twinGroup) [6]byte {
	return oneOf(s.Rand, broadcastMAC, broadcastMAC, vmac(g.VHID), g.NICMAC, g.NICMAC, vmac(1), vmac(9), peerMAC)
}

// vip is one of the group's if it has any of the family, else none of ours.
func (s *randomWorld) vip(g *twinGroup, six bool) netip.Addr {
	of := slices.DeleteFunc(slices.Clone(g.VIPs), func(a netip.Addr) bool { return a.Is6() != six })
	if len(of) == 0 || s.IntN(12) == 0 {
		if six {
			return oneOf(s.Rand, netip.MustParseAddr("2001:db8::7"), shares, netip.AddrFrom16(vips4[0].As16()))
		}
		return netip.MustParseAddr("192.0.2.7")
	}
	return oneOf(s.Rand, of...)
}

func (s *randomWorld) asks4(g *twinGroup) []byte {
	vip := s.vip(g, false).String()
	a := arp{dstMAC: s.mac(g), srcMAC: peerMAC, op: oneOf[uint16](s.Rand, 1, 1, 1, 1, 2), sha: peerMAC, sip: oneOf(s.Rand, "192.0.2.2", "192.0.2.2", "0.0.0.0", vip), tip: vip}
	if s.IntN(10) == 0 {
		a.sha = broadcastMAC
	}
	return a.bytes()
}

func (s *randomWorld) asks6(g *twinGroup) []byte {
	vip := s.vip(g, true)
	n := oneOf(s.Rand, ndFor(vip), ndFor(vip), dadFor(vip), withNonce(ndFor(vip)), unicastND(vip), withNonce(dadFor(vip)))
	if s.IntN(3) == 0 {
		n.dstMAC = s.mac(g)
	}
	switch s.IntN(12) {
	case 0:
		n.src = vip
	case 1:
		n.options = s.ndOptions()
	case 2:
		n.dst = oneOf(s.Rand, peerAddr6, ownAddr6, carpGroup6)
	case 3:
		n.options = llOption(1, broadcastMAC)
	}
	return n.bytes()
}

// ndOptions are some, whole or not, now and then more than anybody looks at.
func (s *randomWorld) ndOptions() (b []byte) {
	for range oneOf(s.Rand, 0, 1, 2, 3, 7, 8, 9) {
		o := llOption(oneOf[uint8](s.Rand, 1, 1, 2, 2, 5, 14), oneOf(s.Rand, nicMAC, peerMAC, broadcastMAC))
		if s.IntN(4) == 0 {
			o[1] = oneOf(s.Rand, 0, 1, 2, 3, uint8(178+s.IntN(3))) // up to the longest message that is summed
			o = append(o, make([]byte, max(0, 8*int(o[1])-8))...)
		}
		b = append(b, o...)
	}
	return b
}

// speaks is what a host sends, from a VIP most of the time.
func (s *randomWorld) speaks(g *twinGroup) []byte {
	s.outgoing = true
	four, six := oneOf(s.Rand, s.vip(g, false), s.vip(g, false), ownAddr), oneOf(s.Rand, s.vip(g, true), s.vip(g, true), ownAddr6)
	switch s.IntN(6) {
	case 0:
		return packet{src: four, dst: peerAddr, srcMAC: nicMAC, dstMAC: peerMAC, proto: 17, payload: make([]byte, s.IntN(60))}.bytes()
	case 1:
		return packet6{src: six, dst: peerAddr6, srcMAC: nicMAC, dstMAC: peerMAC, next: oneOf[uint8](s.Rand, 17, 58), payload: make([]byte, s.IntN(60))}.bytes()
	case 2:
		return arp{dstMAC: broadcastMAC, srcMAC: nicMAC, op: oneOf[uint16](s.Rand, 1, 2), sha: nicMAC, sip: four.String(), tip: "192.0.2.2"}.bytes()
	}
	n := nd{dstMAC: peerMAC, srcMAC: nicMAC, src: six, dst: peerAddr6, typ: oneOf[uint8](s.Rand, 133, 134, 135, 135, 136, 136, 137), target: s.vip(g, true), options: s.ndOptions()}
	switch n.typ {
	case 133:
		n.target = netip.Addr{}
	case 134: // lifetimes instead of a target
		n.target, n.options = netip.Addr{}, slices.Concat(make([]byte, 8), n.options)
	}
	if s.IntN(3) != 0 {
		n.options = slices.Concat(n.options[:min(len(n.options), map[byte]int{134: 8}[n.typ])], llOption(oneOf[uint8](s.Rand, 1, 2), nicMAC))
	}
	n.badSum = s.IntN(8) == 0
	return n.bytes()
}

func (s *randomWorld) vrrp(g *twinGroup) []byte {
	vrid := oneOf(s.Rand, g.VHID, g.VHID, 77)
	dst, dst6 := oneOf(s.Rand, carpGroup, carpGroup, peerAddr), oneOf(s.Rand, carpGroup6, carpGroup6, peerAddr6)
	n := oneOf(s.Rand, s.IntN(8), s.IntN(8), s.IntN(8), s.IntN(256), 90, 91)
	switch s.IntN(4) {
	case 0:
		return packet{payload: vrrp2(vrid, n)}.bytes()
	case 1:
		return packet{dst: dst, payload: vrrp3(vrid, n, peerAddr, dst)}.bytes()
	case 2: // of the other family's shape
		return packet6{dst: dst6, payload: oneOf(s.Rand, vrrp2(vrid, 5), vrrp3(vrid, 4, peerAddr, dst))}.bytes()
	}
	return packet6{dst: dst6, payload: vrrp3v6(vrid, min(n, 91), peerAddr6, dst6)}.bytes()
}

// mend puts the checksums of an IPv4 header, an advert and a neighbour solicitation right.
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
