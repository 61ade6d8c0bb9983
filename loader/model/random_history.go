// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"

	"vipd/loader/tables"
)

// peerHistory is a history of two peers of the first group, which is strict, in some of the sequences: a counter
// reveals something about its source only after several adverts in a row that get through.
type peerHistory struct {
	on      bool
	pattern pattern
	step    int
}

type pattern int

const (
	counts pattern = iota
	jumps          // as after several boots
	pairs          // one repeats what follows the other's counter
	adopts         // one continues from the other's counter
	proves
	patternCount
)

var firstPeer, secondPeer = PeerAddr, netip.MustParseAddr("192.0.2.3")

// spend uses up the budget of the last good source.
func (s *randomWorld) spend(g *twinGroup, until int64) {
	g.spent[0] = until
	s.must(s.putBudget(g))
}

func (s *randomWorld) must(err error) {
	if err != nil {
		s.T.Fatal(err)
	}
}

// echo returns an advert of ours that comes back.
func (s *randomWorld) echo(g *twinGroup) []byte {
	if len(g.own) == 0 || len(g.sources) == 0 {
		return s.noise()
	}
	own, src := oneOf(s.Rand, g.own...), oneOf(s.Rand, g.sources...)
	c := carp{
		vhid:    g.VHID,
		base:    own.AdvBase,
		skew:    own.AdvSkew,
		demote:  own.Demote,
		counter: own.counter,
		digest:  own.digest,
	}
	f := Packet6{Src: src, Payload: c.bytes()}.Bytes
	if src.Is4() {
		f = Packet{Src: src, Payload: c.bytes()}.Bytes
	}
	if s.IntN(3) == 0 {
		return withTags(f(), testVLANs()[0]...)
	}
	return f()
}

func (s *randomWorld) advertOfHistory() []byte {
	g, t := s.w.groups[1], &s.history
	if t.step++; s.IntN(10) == 0 {
		t.pattern, t.step = pattern(s.IntN(int(patternCount))), 0
		if s.IntN(2) == 0 {
			t.pattern = counts
		}
		s.spend(g, 0)
	}
	src, of, last := firstPeer, g.peers[firstPeer].counter, g.last.Counter
	p := tables.Priority{AdvSkew: uint8(1 + s.IntN(3)), Demote: uint8(max(0, s.IntN(6)-4))}
	ctx := oneOf(s.Rand, g.Contexts...)
	counter := of + 1 + uint64(s.IntN(3))
	switch t.pattern {
	case jumps:
		if s.IntN(2) == 0 {
			s.must(s.elapse(3))
		}
		counter = oneOf(s.Rand, s.Uint64(), s.Uint64(), of+span, of-span, of+span+1)
	case pairs:
		if counter = of; t.step%2 == 0 {
			src, counter = secondPeer, of-1-uint64(s.IntN(3))
		}
	case adopts:
		if counter = last + oneOf[uint64](s.Rand, 1, 2, 64, 65); t.step%2 == 0 {
			src, counter = secondPeer, s.Uint64()
		} else if len(g.own) > 0 && s.IntN(2) == 0 {
			counter = oneOf(s.Rand, g.own...).counter + oneOf[uint64](s.Rand, 1, 2, 64, 65)
		}
	case proves:
		ctx = g.Contexts[0]
		if t.step == 4 { // a flood has the master's counter
			s.spend(g, BootNow()+3600e9)
		}
		counter = g.proven[firstPeer].number + oneOf[uint64](s.Rand, 1, 1, 1, 0, 2)
	default:
		if s.IntN(4) == 0 {
			counter = of + oneOf[uint64](s.Rand, 0, 0, 1<<64-1, 1<<64-2, 1<<64-span+1, span-1)
		}
	}
	c := carp{vhid: 1, base: p.AdvBase, skew: p.AdvSkew, demote: p.Demote, counter: counter}
	copy(c.digest[:], digestOf(ctx, counter))
	if t.pattern == proves && s.IntN(8) != 0 {
		c = c.provenBy(ctx.TrailerKey, src)
	}
	return Packet{Src: src, Payload: c.bytes()}.Bytes()
}
