// SPDX-License-Identifier: Apache-2.0

package loader

import "net/netip"

// tale is about two peers of the first group, which is strict, in some of the sequences: what a counter tells of its
// source takes several adverts in a row, that come through.
type tale struct {
	on   bool
	mood mood
	step int
}

type mood int

const (
	counts mood = iota
	jumps       // as after each of several boots
	pairs       // one says again what follows the other's
	adopts      // one goes on from where the other is
	seals
	moods
)

var hero, rival = peerAddr, netip.MustParseAddr("192.0.2.3")

// spend uses up what is there for the last good source.
func (s *randomWorld) spend(g *twinGroup, until int64) {
	g.spent[0] = until
	s.must(s.putBudget(g))
}

func (s *randomWorld) must(err error) {
	if err != nil {
		s.t.Fatal(err)
	}
}

// echo is an advert of ours that comes back.
func (s *randomWorld) echo(g *twinGroup) []byte {
	if len(g.own) == 0 || len(g.sources) == 0 {
		return s.noise()
	}
	own, src := oneOf(s.Rand, g.own...), oneOf(s.Rand, g.sources...)
	c := carp{vhid: g.VHID, base: own.AdvBase, skew: own.AdvSkew, demote: own.Demote, counter: own.counter, digest: own.digest}
	f := packet6{src: src, payload: c.bytes()}.bytes
	if src.Is4() {
		f = packet{src: src, payload: c.bytes()}.bytes
	}
	if s.IntN(3) == 0 {
		return withTags(f(), testVLANs()[0]...)
	}
	return f()
}

func (s *randomWorld) tells() []byte {
	g, t := s.w.groups[1], &s.tale
	if t.step++; s.IntN(10) == 0 {
		t.mood, t.step = mood(s.IntN(int(moods))), 0
		if s.IntN(2) == 0 {
			t.mood = counts
		}
		s.spend(g, 0)
	}
	src, of, last := hero, g.peers[hero].counter, g.last.Counter
	p := Priority{AdvSkew: uint8(1 + s.IntN(3)), Demote: uint8(max(0, s.IntN(6)-4))}
	ctx := oneOf(s.Rand, g.Contexts...)
	counter := of + 1 + uint64(s.IntN(3))
	switch t.mood {
	case jumps:
		if s.IntN(2) == 0 {
			s.must(s.elapse(3))
		}
		counter = oneOf(s.Rand, s.Uint64(), s.Uint64(), of+span, of-span, of+span+1)
	case pairs:
		if counter = of; t.step%2 == 0 {
			src, counter = rival, of-1-uint64(s.IntN(3))
		}
	case adopts:
		if counter = last + oneOf[uint64](s.Rand, 1, 2, 64, 65); t.step%2 == 0 {
			src, counter = rival, s.Uint64()
		} else if len(g.own) > 0 && s.IntN(2) == 0 {
			counter = oneOf(s.Rand, g.own...).counter + oneOf[uint64](s.Rand, 1, 2, 64, 65)
		}
	case seals:
		ctx = g.Contexts[0]
		if t.step == 4 { // a flood has the master's counter
			s.spend(g, bootNow()+3600e9)
		}
		counter = sealed(ctx.SealKey, g.peers[hero].seq+oneOf[uint32](s.Rand, 1, 1, 1, 0, 2), src, p)
	default:
		if s.IntN(4) == 0 {
			counter = of + oneOf[uint64](s.Rand, 0, 0, 1<<64-1, 1<<64-2, 1<<64-span+1, span-1)
		}
	}
	c := carp{vhid: 1, base: p.AdvBase, skew: p.AdvSkew, demote: p.Demote, counter: counter}
	copy(c.digest[:], digestOf(ctx, counter))
	return packet{src: src, payload: c.bytes()}.bytes()
}
