// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"slices"

	"vipd/loader/tables"
)

// advertFrom returns an advert of a group, mostly authentic, with a counter related to what was heard.
func (s *randomWorld) advertFrom(g *twinGroup, src netip.Addr, p tables.Priority) []byte {
	c := s.advertOf(g, src, p).bytes()
	if s.IntN(16) == 0 { // the sum goes over all of it, up to a length
		c = append(c, make([]byte, oneOf(s.Rand, 1, 2, 3, 4, 100, 1423, 1424, 1425))...)
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
		c.counter = s.sealedCounter(g, ctx, src, p)
	} else {
		c.counter = s.plainCounter(g, src)
	}
	copy(c.digest[:], digestOf(ctx, c.counter))
	if s.IntN(16) == 0 {
		c = damaged(c)
	}
	return c
}

// sequence returns one near what a source, or we, sent last.
func (s *randomWorld) sequence(g *twinGroup) uint32 {
	from := g.seq
	for _, src := range slices.Concat(peers4[1:], peers6[1:]) {
		if p, met := g.peers[src]; met && s.IntN(2) == 0 {
			from = p.seq
		}
	}
	return from + oneOf[uint32](
		s.Rand, 0, 1, 1, 1, 2, 3, 65535, 65536, 65537, 1<<31-1, 1<<31, 1<<31+1, ^uint32(0), s.Uint32(),
	)
}

func (s *randomWorld) sealedCounter(g *twinGroup, ctx tables.AuthContext, src netip.Addr, p tables.Priority) uint64 {
	seq := s.sequence(g)
	if peer, met := g.peers[src]; met && s.IntN(2) == 0 {
		seq = peer.seq + oneOf[uint32](s.Rand, 0, 1, 1, 1, 2, ^uint32(0))
	}
	switch s.IntN(8) {
	case 0:
		p.AdvSkew++
	case 1:
		src = PeerAddr
	case 2:
		p.Demote ^= 1
	}
	return sealed(ctx.SealKey, seq, src, p)
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
