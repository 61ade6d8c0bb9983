// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"vipd/loader/tables"
)

var replayed = Want{Verdict: xdpDrop, Counts: count("replay")}

// TestSealVectors holds the twin of this package against the paper's vector and against
// what agent/wire computes.
func TestSealVectors(t *testing.T) {
	var key [16]byte
	msg := make([]byte, 15)
	for i := range key {
		key[i] = byte(i)
	}
	copy(msg, key[:])
	if got := sipHash(key, msg); got != 0xa129ca6149be45e5 {
		t.Errorf("sip: %#x", got)
	}
	if got := sealed(sealKey(), 0x01020304, PeerAddr, prio(1, 100, 3)); got != 0x1020304e494f8cb {
		t.Errorf("over IPv4: %#x", got)
	}
	if got := sealed(sealKey(), 0xfffffffe, PeerAddr6, prio(0, 7, 0)); got != 0xfffffffe9846a917 {
		t.Errorf("over IPv6: %#x", got)
	}
}

func TestSealed(t *testing.T) {
	h := NewHarness(t)
	h.Fresh(sealedSpec("192.0.2.1"))
	p := prio(1, 100, 0)
	ok := Want{Verdict: XDPPass, Counts: count("received"), events: 1}
	first := sealedAdvert(1000, PeerAddr, p)
	h.Expect("never heard", FrameOf(first), ok)
	s := h.Seen()
	if !s.Sealed || s.DemoteAware || s.DemoteEver {
		t.Errorf("recorded %+v", s)
	}
	h.Expect("the same again", FrameOf(first), replayed)
	h.Expect("the next", FrameOf(sealedAdvert(1001, PeerAddr, p)), ok)
	h.Expect("the one before", FrameOf(first), replayed)
	h.Expect("with another priority", FrameOf(sealedAdvert(1002, PeerAddr, prio(1, 0, 9))), ok)
	h.Expect("far ahead", FrameOf(sealedAdvert(1002+1<<31-1, PeerAddr, p)), ok)
	h.Expect("beyond the wrap", FrameOf(sealedAdvert(5, PeerAddr, p)), ok)
	h.Expect("from before the wrap", FrameOf(sealedAdvert(1<<32-9, PeerAddr, p)), replayed)
	other := netip.MustParseAddr("192.0.2.3")
	h.Expect(
		"another source has a sequence of its own",
		Packet{Src: other, Payload: sealedAdvert(3, other, p).bytes()}.Bytes(),
		ok,
	)

	// Fields that CARP's own digest does not cover.
	good := sealedAdvert(100, PeerAddr, p)
	for name, change := range map[string]func(*carp){
		"advbase": func(c *carp) { c.base = 0 },
		"advskew": func(c *carp) { c.skew = 0 },
		"demote":  func(c *carp) { c.demote = 1 },
		"goodbye": func(c *carp) { c.base, c.skew = 255, 255 },
	} {
		forged := good
		change(&forged)
		h.Expect("forged "+name, FrameOf(forged), replayed)
	}
	h.Expect("forged source", Packet{Src: netip.MustParseAddr("192.0.2.77"), Payload: good.bytes()}.Bytes(), replayed)
	h.Expect("untouched after all", FrameOf(good), ok)
	// A peer that adopted the counter and went on from it is an ordinary one.
	adopted := Advert(1, 0, 0, good.counter+1)
	h.Expect("adopted", Packet{Src: other, Payload: adopted.bytes()}.Bytes(), ok)
	if s := h.Seen(); s.Sealed || s.DemoteAware {
		t.Errorf("recorded %+v", s)
	}
	h.Expect(
		"type and authlen are not bound",
		FrameOf(func() carp { c := sealedAdvert(101, PeerAddr, p); c.authlen = 9; return c }()),
		ok,
	)
}

// TestSealedReplayLeavesNothing: neither record nor yield nor event.
func TestSealedReplayLeavesNothing(t *testing.T) {
	h := NewHarness(t)
	h.Fresh(sealedSpec("192.0.2.1"))
	h.Run(FrameOf(sealedAdvert(10, PeerAddr, prio(1, 100, 0))))
	before := h.Seen()
	h.Master(1)
	h.Group.SetSentPriority(prio(1, 50, 0))
	h.Expect("its own again", FrameOf(sealedAdvert(10, PeerAddr, prio(1, 100, 0))), replayed)
	forged := sealedAdvert(11, PeerAddr, prio(1, 100, 0))
	forged.skew = 0
	h.Expect("forged", FrameOf(forged), replayed)
	if s := h.Seen(); s != before {
		t.Errorf("recorded %+v, before %+v", s, before)
	}
	if ans, err := h.Group.Answering(BootNow()); err != nil || !ans {
		t.Errorf("answering %v, %v", ans, err)
	}
	h.Expect(
		"superior",
		FrameOf(sealedAdvert(11, PeerAddr, prio(1, 0, 0))),
		Want{Verdict: XDPPass, Counts: count("received", "yields"), events: 1},
	)
}

// TestSealedNotAware: a vipd node's demote byte does not count, already with its first
// advert, since its skew says the same; so two of them with different advbase, one
// demoted, agree about who yields, and no third node that ignores the byte goes in a
// circle with them.
func TestSealedNotAware(t *testing.T) {
	h := NewHarness(t)
	h.Fresh(sealedSpec("192.0.2.1"))
	seq := uint32(0)
	yields := func(theirs, mine tables.Priority) bool {
		t.Helper()
		h.drain()
		seq++
		h.Group.SetSentPriority(mine)
		h.Master(h.Group.Generation() + 1)
		h.untold()
		h.Run(FrameOf(sealedAdvert(seq, PeerAddr, theirs)))
		evs := h.drain()
		if len(evs) != 1 || !evs[0].Sealed || evs[0].DemoteAware {
			t.Fatalf("events %+v", evs)
		}
		return evs[0].Yielded
	}
	rng := rand.New(rand.NewPCG(3, 4))
	some := func() tables.Priority {
		return prio(uint8(rng.IntN(3)), uint8(rng.IntN(3)), uint8(rng.IntN(3)))
	}
	for range 2000 {
		a, b := some(), some()
		ab, ba := yields(a, b), yields(b, a)
		if ab != superior(a, b, false) || ba != superior(b, a, false) {
			t.Fatalf("%+v and %+v: yielded %v and %v", a, b, ab, ba)
		}
		if !ab && !ba {
			t.Fatalf("%+v and %+v: neither yields to the other", a, b)
		}
	}
}

// TestSealedFromNobodyIsNotAware: adverts from 0.0.0.0 are not held to a sequence, so that one may come twice, and much
// later. A counter that stays makes no OpenBSD of a vipd node.
func TestSealedFromNobodyIsNotAware(t *testing.T) {
	h := NewHarness(t)
	h.Fresh(sealedSpec("192.0.2.1"))
	none := netip.IPv4Unspecified()
	f := Packet{Src: none, Payload: sealedAdvert(1, none, prio(1, 0, 3)).bytes()}.Bytes()
	h.Run(f)
	time.Sleep(3 << 26) // as in TestAwareness
	h.Run(f)
	for _, e := range h.drain() {
		if !e.Sealed || e.DemoteAware {
			t.Errorf("told %+v", e)
		}
	}
	if n := h.Seen().Count; n != 2 {
		t.Errorf("%d adverts counted, want 2", n)
	}
}

func TestRequireSeal(t *testing.T) {
	h := NewHarness(t)
	s := sealedSpec("192.0.2.1")
	s.RequireSeal = true
	h.Fresh(s)
	h.Expect("no seal", FrameOf(Advert(1, 0, 0, 7)), replayed)
	h.Expect(
		"a seal",
		FrameOf(sealedAdvert(1, PeerAddr, prio(1, 0, 0))),
		Want{Verdict: XDPPass, Counts: count("received"), events: 1},
	)
	h.Expect("adopted", FrameOf(Advert(1, 0, 0, sealed(sealKey(), 1, PeerAddr, prio(1, 0, 0))+1)), replayed)
	s.Contexts = append(s.Contexts, tables.AuthContext{Key: []byte("other"), Prefix: s.Contexts[0].Prefix})
	if err := h.Group.Update(s); err == nil {
		t.Error("a context without a key for seals was accepted in a group that requires them")
	}
}

// TestSealPerContext: the key that fitted decides whose seal it is.
func TestSealPerContext(t *testing.T) {
	h := NewHarness(t)
	s := sealedSpec("192.0.2.1")
	other := tables.SealKey{Recognise: [16]byte{1}, Bind: [16]byte{2}}
	s.Contexts = append(s.Contexts,
		tables.AuthContext{Key: []byte("new"), Prefix: s.Contexts[0].Prefix, SealKey: other},
		tables.AuthContext{Key: []byte("plain"), Prefix: s.Contexts[0].Prefix})
	h.Fresh(s)
	ok := Want{Verdict: XDPPass, Counts: count("received"), events: 1}
	p := prio(1, 0, 0)
	send := func(key string, counter uint64) []byte {
		c := carp{vhid: 1, base: 1, counter: counter}
		c.digest = digest([]byte(key), s.Contexts[0].Prefix, counter)
		return FrameOf(c)
	}
	h.Expect("old key", FrameOf(sealedAdvert(1, PeerAddr, p)), ok)
	h.Expect("new key", send("new", sealed(other, 2, PeerAddr, p)), ok)
	if s := h.Seen(); !s.Sealed || s.Context != 1 {
		t.Errorf("recorded %+v", s)
	}
	h.Expect("the sequence goes on over a change of key", send("new", sealed(other, 1, PeerAddr, p)), replayed)
	h.Expect(
		"the old key's seal is an ordinary counter under the new key",
		send("new", sealed(sealKey(), 9, PeerAddr, p)),
		ok,
	)
	for range 2 {
		h.Expect("not looked at", send("plain", sealed(sealKey(), 1, PeerAddr, p)), ok)
	}
	if h.Seen().Sealed {
		t.Error("a seal under a context without a key for it")
	}
}

// TestOwnSealed: what we sent comes back as a replay, however long ago.
func TestOwnSealed(t *testing.T) {
	h := NewHarness(t)
	h.Fresh(sealedSpec("192.0.2.1"))
	p := prio(1, 0, 0)
	own := func(seq uint32) carp { return sealedAdvert(seq, ownAddr, p) }
	from := func(c carp) []byte { return Packet{Src: ownAddr, Payload: c.bytes()}.Bytes() }
	h.Group.SetSequence(100)
	h.Expect("of an earlier run", from(own(99)), replayed)
	for seq := uint32(101); seq <= 120; seq++ {
		c := own(seq)
		h.Group.RecordSent(c.counter, c.digest, p)
	}
	h.Expect("the last", from(own(120)), Want{Verdict: xdpDrop, Counts: count("loop")})
	h.Expect("one that the loop check forgot", from(own(101)), replayed)
	h.Expect("one we never sent", from(own(121)), Want{Verdict: XDPPass, Counts: count("received"), events: 1})
	none := netip.IPv4Unspecified()
	for range 2 {
		h.Expect("nodes without an address", Packet{Src: none, Payload: sealedAdvert(1, none, p).bytes()}.Bytes(),
			Want{Verdict: XDPPass, Counts: count("received"), events: 1})
	}
}

// TestSealedBudget: a sealed master is of class 1, with the strides that other groups
// of its node leave.
func TestSealedBudget(t *testing.T) {
	pin(t)
	h := NewHarness(t)
	h.Fresh(sealedSpec("192.0.2.1"))
	p := prio(100, 0, 0)
	h.Run(FrameOf(sealedAdvert(1, PeerAddr, p)))
	got := h.flood(from("192.0.2.66", damaged(Advert(1, 0, 0, 100))), 5000)
	if got["rate_limited"] == 0 {
		t.Fatalf("flood: %v", got)
	}
	for i := range uint32(9) {
		h.Expect(
			"the master goes on",
			FrameOf(sealedAdvert(2+i*500, PeerAddr, p)),
			Want{Verdict: XDPPass, Counts: count("received"), events: 1},
		)
	}
}

// TestReplayAttack: any mix of captured adverts of two vipd nodes, with fields altered
// at will, is never taken in but as it was sent, and never twice.
func TestReplayAttack(t *testing.T) {
	h := NewHarness(t)
	h.Fresh(sealedSpec("192.0.2.1"))
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	h.Group.SetSentPriority(tables.Priority{AdvBase: 1})
	srcs := []netip.Addr{PeerAddr, netip.MustParseAddr("192.0.2.3")}
	type captured struct {
		src netip.Addr
		c   carp
	}
	var all []captured
	taken := make(map[uint64]bool)
	for i := range 3000 {
		var x captured
		if len(all) == 0 || i%10 == 0 { // the nodes themselves
			src := srcs[rng.IntN(2)]
			x = captured{src, sealedAdvert(uint32(1+i), src, prio(1, uint8(100+rng.IntN(100)), 0))}
			all = append(all, x)
		} else {
			x = all[rng.IntN(len(all))]
			switch rng.IntN(5) {
			case 0:
				x.src = srcs[rng.IntN(2)]
			case 1:
				x.c.skew = uint8(rng.IntN(256))
			case 2:
				x.c.base, x.c.demote = uint8(rng.IntN(3)), uint8(rng.IntN(3))
			case 3:
				x.src = netip.AddrFrom4([4]byte{192, 0, 2, byte(rng.IntN(256))})
			}
		}
		h.Run(Packet{Src: x.src, Payload: x.c.bytes()}.Bytes())
		for _, e := range h.drain() {
			if taken[e.Counter] || !e.Sealed ||
				e.Counter != sealed(sealKey(), uint32(e.Counter>>32), e.Src, prio(e.AdvBase, e.AdvSkew, e.Demote)) {
				t.Fatalf("seed %d: took in %+v", seed, e)
			}
			taken[e.Counter] = true
		}
	}
	if len(taken) == 0 || len(taken) > len(all) {
		t.Errorf("%d taken in of %d sent", len(taken), len(all))
	}
}

func TestStrictReplay(t *testing.T) {
	h := NewHarness(t)
	ok := Want{Verdict: XDPPass, Counts: count("received"), events: 1}
	const skew = 25 // an interval of 98 ms: long enough that a burst is one on a busy machine, too
	at := func(src string, counter uint64, base uint8) []byte { return from(src, Advert(base, skew, 0, counter)) }
	strict := GoldenSpec("192.0.2.1")
	strict.StrictReplay = true
	const far = 1 << 40
	type step struct {
		counter uint64
		ok      bool
	}
	for name, steps := range map[string][]step{
		"counting": {
			{10, true}, {11, true}, {13, true}, {20, true}, {20, false}, {19, false}, {10, false}, {21, true},
		},
		"two families":         {{10, true}, {12, true}, {14, true}, {16, true}, {15, false}},
		"constant":             {{far, true}, {far, true}, {far, true}, {far, true}, {far, true}},
		"constant, and booted": {{far, true}, {far, true}, {9 * far, true}, {9 * far, true}, {far, true}},
		"random": {
			{5 * far, true}, {far, true}, {9 * far, true}, {2 * far, true}, {8 * far, true}, {3 * far, true},
		},
		"random, then counting": {
			{5 * far, true},
			{far, true},
			{9 * far, true},
			{9*far + 1, true},
			{9*far + 2, true},
			{9*far + 3, true},
			{9*far + 3, false},
			{5 * far, false},
		},
		"behind before it has counted": {{10, true}, {9, false}, {10, true}},
		"counting, far jumps": {
			{10, true}, {11, true}, {12, true}, {13, true}, {far, false}, {5 * far, false}, {14, true}, {far, false},
		},
		"counting over the wrap": {
			{1<<64 - 2, true}, {1<<64 - 1, true}, {0, true}, {1, true}, {1<<64 - 1, false}, {2, true},
		},
	} {
		h.Fresh(strict)
		for i, s := range steps {
			w := ok
			if !s.ok {
				w = replayed
			}
			h.Expect(fmt.Sprintf("%s: step %d", name, i), at("192.0.2.2", s.counter, 1), w)
		}
	}

	// After a few jumps, an interval apart, a source that counted is one that booted.
	h.Fresh(strict)
	count4 := func(from uint64) {
		for i := range uint64(4) {
			h.Expect("counting", at("192.0.2.2", from+i, 0), ok)
		}
	}
	count4(10)
	interval := int64(skew * 1_000_000_000 / 256)
	for i := range uint64(3) {
		h.Expect("jump", at("192.0.2.2", (9-i)*far, 0), replayed)
		h.Expect("a burst is one jump", at("192.0.2.2", (9-i)*far+9, 0), replayed)
		time.Sleep(time.Duration(interval))
	}
	h.Expect("booted", at("192.0.2.2", 2*far, 0), ok)
	h.Expect("at random", at("192.0.2.2", far, 0), ok)
	count4(far + 1)

	// What it adopted from another, or from us, is no jump.
	h.Expect("another source", at("192.0.2.3", 7*far, 0), ok)
	h.Expect("adopted", at("192.0.2.2", 7*far+1, 0), ok)
	h.Group.RecordSent(3*far, [20]byte{}, prio(1, 0, 0))
	h.Expect("adopted from us", at("192.0.2.2", 3*far+2, 0), ok)
	h.Expect("and goes on", at("192.0.2.2", 3*far+3, 0), ok)
	h.Expect("not again", at("192.0.2.2", 3*far+3, 0), replayed)
	h.Expect("nor the one before", at("192.0.2.2", 3*far+2, 0), replayed)
	h.Expect("another took over", at("192.0.2.3", 3*far-5, 0), ok)
	h.Expect("adopted, a little behind", at("192.0.2.2", 3*far-4, 0), ok)

	h.Fresh(GoldenSpec("192.0.2.1"))
	for range 3 {
		h.Expect("not strict", at("192.0.2.2", 10, 1), ok)
	}
}
