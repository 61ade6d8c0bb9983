// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"slices"

	"vipd/loader/tables"
)

// advertFrom returns an advert of a group, mostly authentic, with a counter related to what was heard.
func (s *randomWorld) advertFrom(g *twinGroup, src netip.Addr, p tables.Priority) []byte {
	a := s.advertOf(g, src, p)
	c := a.bytes()
	if a.trailer == nil && s.IntN(16) == 0 { // the sum goes over all of it, up to a length
		c = append(c, make([]byte, oneOf(s.Rand, 1, 2, 3, 4, 20, 100, 1423, 1424, 1425))...)
	}
	mac := s.mac(g)
	ttl := oneOf[uint8](s.Rand, 255, 255, 255, 255, 255, 64)
	if src.Is4() {
		return Packet{
			Src:     src,
			Dst:     oneOf(s.Rand, carpGroup, carpGroup, carpGroup, ownAddr, PeerAddr),
			SrcMAC:  oneOf(s.Rand, VMAC(g.VHID), PeerMAC),
			DstMAC:  oneOf(s.Rand, carpGroupMAC, carpGroupMAC, mac),
			TTL:     ttl,
			Payload: c,
			options: make([]byte, 4*max(0, s.IntN(16)-12)),
		}.Bytes()
	}
	return Packet6{
		Src:     src,
		Dst:     oneOf(s.Rand, carpGroup6, carpGroup6, carpGroup6, ownAddr6, PeerAddr6),
		SrcMAC:  oneOf(s.Rand, VMAC(g.VHID), PeerMAC),
		DstMAC:  oneOf(s.Rand, carpGroup6MAC, carpGroup6MAC, mac),
		Hops:    ttl,
		Payload: c,
	}.Bytes()
}

func (s *randomWorld) advertOf(g *twinGroup, src netip.Addr, p tables.Priority) carp {
	c := carp{vhid: g.VHID, base: p.AdvBase, skew: p.AdvSkew, demote: p.Demote}
	if s.IntN(20) == 0 {
		c.vhid = 78
	}
	if len(g.own) > 0 && s.IntN(10) == 0 { // ours comes back, or nearly
		own := oneOf(s.Rand, g.own...)
		c.counter, c.digest = own.counter, own.digest
		if s.IntN(3) != 0 {
			c.base, c.skew, c.demote = own.AdvBase, own.AdvSkew, own.Demote
		}
		return c
	}
	if len(g.Contexts) == 0 {
		return c
	}
	ctx := oneOf(s.Rand, g.Contexts...)
	if s.IntN(2) == 0 {
		c.counter = s.number(g, src)
		copy(c.digest[:], digestOf(ctx, c.counter))
		return s.trailed(c, ctx, src)
	}
	c.counter = s.plainCounter(g, src)
	copy(c.digest[:], digestOf(ctx, c.counter))
	if s.IntN(16) == 0 {
		c = damaged(c)
	}
	return c
}

// trailed appends a trailer, mostly a right one.
func (s *randomWorld) trailed(c carp, ctx tables.AuthContext, src netip.Addr) carp {
	of, from := c, src
	switch s.IntN(16) {
	case 0:
		of.skew++
	case 1:
		from = PeerAddr
	case 2:
		of.demote ^= 1
	case 3:
		of.counter++
	case 4: // another list of addresses
		c = damaged(c)
		of = c
	}
	c.trailer = trailerFor(ctx.TrailerKey, from, of, uint16(max(0, s.IntN(4)-2)))
	if s.IntN(16) == 0 { // of a later version
		c.trailer[1]++
		c.trailer[19]--
	}
	return c
}

// hello returns a hello, mostly a right one, to us or to another.
func (s *randomWorld) hello(g *twinGroup, src netip.Addr) []byte {
	own := oneOf(s.Rand, append([]netip.Addr{ownAddr, ownAddr6, PeerAddr, carpGroup}, slices.Repeat(g.sources, 3)...)...)
	for own.Is4() != src.Is4() {
		own = oneOf(s.Rand, ownAddr, ownAddr6)
	}
	key := trailerKey()
	if len(g.Contexts) > 0 {
		key = oneOf(s.Rand, g.Contexts...).TrailerKey
	}
	number := s.number(g, src)
	if peer, met := g.proven[src]; met && s.IntN(2) == 0 {
		number = max(peer.hello, peer.number) + uint64(s.IntN(3))
	}
	mac, from, ttl := oneOf(s.Rand, VMAC(g.VHID), g.NICMAC, PeerMAC), PeerMAC, oneOf[uint8](s.Rand, 255, 255, 255, 64)
	frame := func(p []byte) []byte {
		if src.Is4() {
			return Packet{Src: src, Dst: own, SrcMAC: from, DstMAC: mac, TTL: ttl, Payload: p}.Bytes()
		}
		return Packet6{Src: src, Dst: own, SrcMAC: from, DstMAC: mac, Hops: ttl, Payload: p}.Bytes()
	}
	if s.IntN(2) == 0 { // more than one may say in a moment
		s.next = frame(helloOf(key, g.VHID, number+1, 96, src, own))
	}
	p := helloOf(key, g.VHID, number, 8*oneOf(s.Rand, 6, 7, 8, 20, 63, 64, 65), src, own)
	switch s.IntN(12) {
	case 0:
		p[3] ^= 8
	case 1:
		p[24+s.IntN(8)]++
	case 2:
		p = p[:len(p)-4]
	}
	return frame(p)
}

// number returns one near what a source, the group or we sent last.
func (s *randomWorld) number(g *twinGroup, src netip.Addr) uint64 {
	from := g.number
	if p, met := g.proven[src]; met && s.IntN(4) != 0 {
		from = p.number
	} else if s.IntN(2) == 0 {
		from = g.highest
	}
	switch s.IntN(8) {
	case 0:
		return from
	case 1:
		return from - 1
	case 2: // as fast as time
		return from + uint64(s.IntN(80e6))
	case 4: // as far as adverts may cross
		return from - uint64(99_998+s.IntN(4))
	case 3:
		return oneOf(s.Rand, s.Uint64(), s.Uint64()>>12, g.number, g.sentNow, g.highest)
	}
	return from + uint64(1+s.IntN(3))
}

// plainCounter: the usual ones and those at the edges of each rule.
func (s *randomWorld) plainCounter(g *twinGroup, src netip.Addr) uint64 {
	from := g.last.Counter
	if peer, met := g.peers[src]; met && s.IntN(3) != 0 {
		from = peer.counter
	}
	if len(g.own) > 0 && s.IntN(6) == 0 {
		from = oneOf(s.Rand, g.own...).counter
	}
	switch s.IntN(8) {
	case 0:
		return s.Uint64()
	case 1:
		return from
	case 2:
		return from + oneOf[uint64](s.Rand, 7, 8, 9, 63, 64, 65)
	case 3:
		return from + oneOf[uint64](s.Rand, span-1, span, span+1, 1<<64-span+1, 1<<64-span, 1<<64-span-1, 1<<63)
	case 4:
		return from - uint64(1+s.IntN(3))
	}
	return from + 1 + uint64(s.IntN(3))
}
