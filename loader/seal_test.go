// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

var replayed = want{verdict: xdpDrop, counts: count("replay")}

// TestSealVectors holds the twin of this package against the paper's vector and against
// what agent/wire computes.
func TestSealVectors(t *testing.T) {
	var key [16]byte
	msg := make([]byte, 15)
	for i := range key {
		key[i] = byte(i)
	}
	copy(msg, key[:])
	if got := sip(key, msg); got != 0xa129ca6149be45e5 {
		t.Errorf("sip: %#x", got)
	}
	if got := sealed(sealKey(), 0x01020304, peerAddr, Priority{1, 100, 3}); got != 0x1020304e494f8cb {
		t.Errorf("over IPv4: %#x", got)
	}
	if got := sealed(sealKey(), 0xfffffffe, peerAddr6, Priority{0, 7, 0}); got != 0xfffffffe9846a917 {
		t.Errorf("over IPv6: %#x", got)
	}
}

func TestSealed(t *testing.T) {
	h := newHarness(t)
	h.fresh(sealedSpec("192.0.2.1"))
	p := Priority{1, 100, 0}
	ok := want{verdict: xdpPass, counts: count("received"), events: 1}
	first := sealedAdvert(1000, peerAddr, p)
	h.expect("never heard", frameOf(first), ok)
	s := h.seen()
	if !s.Sealed || s.DemoteAware || s.DemoteEver {
		t.Errorf("recorded %+v", s)
	}
	h.expect("the same again", frameOf(first), replayed)
	h.expect("the next", frameOf(sealedAdvert(1001, peerAddr, p)), ok)
	h.expect("the one before", frameOf(first), replayed)
	h.expect("with another priority", frameOf(sealedAdvert(1002, peerAddr, Priority{1, 0, 9})), ok)
	h.expect("far ahead", frameOf(sealedAdvert(1002+1<<31-1, peerAddr, p)), ok)
	h.expect("beyond the wrap", frameOf(sealedAdvert(5, peerAddr, p)), ok)
	h.expect("from before the wrap", frameOf(sealedAdvert(1<<32-9, peerAddr, p)), replayed)
	other := netip.MustParseAddr("192.0.2.3")
	h.expect("another source has a sequence of its own", packet{src: other, payload: sealedAdvert(3, other, p).bytes()}.bytes(), ok)

	// Fields that CARP's own digest does not cover.
	good := sealedAdvert(100, peerAddr, p)
	for name, change := range map[string]func(*carp){
		"advbase": func(c *carp) { c.base = 0 },
		"advskew": func(c *carp) { c.skew = 0 },
		"demote":  func(c *carp) { c.demote = 1 },
		"goodbye": func(c *carp) { c.base, c.skew = 255, 255 },
	} {
		forged := good
		change(&forged)
		h.expect("forged "+name, frameOf(forged), replayed)
	}
	h.expect("forged source", packet{src: netip.MustParseAddr("192.0.2.77"), payload: good.bytes()}.bytes(), replayed)
	h.expect("untouched after all", frameOf(good), ok)
	// A peer that adopted the counter and went on from it is an ordinary one.
	adopted := advert(1, 0, 0, good.counter+1)
	h.expect("adopted", packet{src: other, payload: adopted.bytes()}.bytes(), ok)
	if s := h.seen(); s.Sealed || s.DemoteAware {
		t.Errorf("recorded %+v", s)
	}
	h.expect("type and authlen are not bound", frameOf(func() carp { c := sealedAdvert(101, peerAddr, p); c.authlen = 9; return c }()), ok)
}

// TestSealedReplayLeavesNothing: neither record nor yield nor event.
func TestSealedReplayLeavesNothing(t *testing.T) {
	h := newHarness(t)
	h.fresh(sealedSpec("192.0.2.1"))
	h.run(frameOf(sealedAdvert(10, peerAddr, Priority{1, 100, 0})))
	before := h.seen()
	h.master(1)
	h.g.SetSentPriority(Priority{1, 50, 0})
	h.expect("its own again", frameOf(sealedAdvert(10, peerAddr, Priority{1, 100, 0})), replayed)
	forged := sealedAdvert(11, peerAddr, Priority{1, 100, 0})
	forged.skew = 0
	h.expect("forged", frameOf(forged), replayed)
	if s := h.seen(); s != before {
		t.Errorf("recorded %+v, before %+v", s, before)
	}
	if ans, err := h.g.Answering(bootNow()); err != nil || !ans {
		t.Errorf("answering %v, %v", ans, err)
	}
	h.expect("superior", frameOf(sealedAdvert(11, peerAddr, Priority{1, 0, 0})), want{verdict: xdpPass, counts: count("received", "yields"), events: 1})
}

// TestSealedNotAware: a vipd node's demote byte does not count, already with its first
// advert, since its skew says the same; so two of them with different advbase, one
// demoted, agree about who yields, and no third node that ignores the byte goes in a
// circle with them.
func TestSealedNotAware(t *testing.T) {
	h := newHarness(t)
	h.fresh(sealedSpec("192.0.2.1"))
	seq := uint32(0)
	yields := func(theirs, mine Priority) bool {
		t.Helper()
		h.drain()
		seq++
		h.g.SetSentPriority(mine)
		h.master(h.g.Generation() + 1)
		h.run(frameOf(sealedAdvert(seq, peerAddr, theirs)))
		evs := h.drain()
		if len(evs) != 1 || !evs[0].Sealed || evs[0].DemoteAware {
			t.Fatalf("events %+v", evs)
		}
		return evs[0].Yielded
	}
	rng := rand.New(rand.NewPCG(3, 4))
	some := func() Priority {
		return Priority{uint8(rng.IntN(3)), uint8(rng.IntN(3)), uint8(rng.IntN(3))}
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
	h := newHarness(t)
	h.fresh(sealedSpec("192.0.2.1"))
	none := netip.IPv4Unspecified()
	f := packet{src: none, payload: sealedAdvert(1, none, Priority{1, 0, 3}).bytes()}.bytes()
	h.run(f)
	time.Sleep(3 << 26) // as in TestAwareness
	h.run(f)
	for _, e := range h.drain() {
		if !e.Sealed || e.DemoteAware {
			t.Errorf("told %+v", e)
		}
	}
	if n := h.seen().Count; n != 2 {
		t.Errorf("%d adverts counted, want 2", n)
	}
}

func TestRequireSeal(t *testing.T) {
	h := newHarness(t)
	s := sealedSpec("192.0.2.1")
	s.RequireSeal = true
	h.fresh(s)
	h.expect("no seal", frameOf(advert(1, 0, 0, 7)), replayed)
	h.expect("a seal", frameOf(sealedAdvert(1, peerAddr, Priority{1, 0, 0})), want{verdict: xdpPass, counts: count("received"), events: 1})
	h.expect("adopted", frameOf(advert(1, 0, 0, sealed(sealKey(), 1, peerAddr, Priority{1, 0, 0})+1)), replayed)
	s.Contexts = append(s.Contexts, AuthContext{Key: []byte("other"), Prefix: s.Contexts[0].Prefix})
	if err := h.g.Update(s); err == nil {
		t.Error("a context without a key for seals was accepted in a group that requires them")
	}
}

// TestSealPerContext: the key that fitted decides whose seal it is.
func TestSealPerContext(t *testing.T) {
	h := newHarness(t)
	s := sealedSpec("192.0.2.1")
	other := SealKey{Recognise: [16]byte{1}, Bind: [16]byte{2}}
	s.Contexts = append(s.Contexts,
		AuthContext{Key: []byte("new"), Prefix: s.Contexts[0].Prefix, SealKey: other},
		AuthContext{Key: []byte("plain"), Prefix: s.Contexts[0].Prefix})
	h.fresh(s)
	ok := want{verdict: xdpPass, counts: count("received"), events: 1}
	p := Priority{1, 0, 0}
	send := func(key string, counter uint64) []byte {
		c := carp{vhid: 1, base: 1, counter: counter}
		c.digest = digest([]byte(key), s.Contexts[0].Prefix, counter)
		return frameOf(c)
	}
	h.expect("old key", frameOf(sealedAdvert(1, peerAddr, p)), ok)
	h.expect("new key", send("new", sealed(other, 2, peerAddr, p)), ok)
	if s := h.seen(); !s.Sealed || s.Context != 1 {
		t.Errorf("recorded %+v", s)
	}
	h.expect("the sequence goes on over a change of key", send("new", sealed(other, 1, peerAddr, p)), replayed)
	h.expect("the old key's seal is an ordinary counter under the new key", send("new", sealed(sealKey(), 9, peerAddr, p)), ok)
	for range 2 {
		h.expect("not looked at", send("plain", sealed(sealKey(), 1, peerAddr, p)), ok)
	}
	if h.seen().Sealed {
		t.Error("a seal under a context without a key for it")
	}
}

// TestOwnSealed: what we sent comes back as a replay, however long ago.
func TestOwnSealed(t *testing.T) {
	h := newHarness(t)
	h.fresh(sealedSpec("192.0.2.1"))
	p := Priority{1, 0, 0}
	own := func(seq uint32) carp { return sealedAdvert(seq, ownAddr, p) }
	from := func(c carp) []byte { return packet{src: ownAddr, payload: c.bytes()}.bytes() }
	h.g.SetSequence(100)
	h.expect("of an earlier run", from(own(99)), replayed)
	for seq := uint32(101); seq <= 120; seq++ {
		c := own(seq)
		h.g.RecordSent(c.counter, c.digest, p)
	}
	h.expect("the last", from(own(120)), want{verdict: xdpDrop, counts: count("loop")})
	h.expect("one that the loop check forgot", from(own(101)), replayed)
	h.expect("one we never sent", from(own(121)), want{verdict: xdpPass, counts: count("received"), events: 1})
	none := netip.IPv4Unspecified()
	for range 2 {
		h.expect("nodes without an address", packet{src: none, payload: sealedAdvert(1, none, p).bytes()}.bytes(),
			want{verdict: xdpPass, counts: count("received"), events: 1})
	}
}

// TestSealedBudget: a sealed master is of class 1, with the strides that other groups
// of its node leave.
func TestSealedBudget(t *testing.T) {
	pin(t)
	h := newHarness(t)
	h.fresh(sealedSpec("192.0.2.1"))
	p := Priority{100, 0, 0}
	h.run(frameOf(sealedAdvert(1, peerAddr, p)))
	got := h.flood(from("192.0.2.66", damaged(advert(1, 0, 0, 100))), 5000)
	if got["rate_limited"] == 0 {
		t.Fatalf("flood: %v", got)
	}
	for i := range uint32(9) {
		h.expect("the master goes on", frameOf(sealedAdvert(2+i*500, peerAddr, p)), want{verdict: xdpPass, counts: count("received"), events: 1})
	}
}

// TestReplayAttack: any mix of captured adverts of two vipd nodes, with fields altered
// at will, is never taken in but as it was sent, and never twice.
func TestReplayAttack(t *testing.T) {
	h := newHarness(t)
	h.fresh(sealedSpec("192.0.2.1"))
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	h.g.SetSentPriority(Priority{AdvBase: 1})
	srcs := []netip.Addr{peerAddr, netip.MustParseAddr("192.0.2.3")}
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
			x = captured{src, sealedAdvert(uint32(1+i), src, Priority{1, uint8(100 + rng.IntN(100)), 0})}
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
		h.run(packet{src: x.src, payload: x.c.bytes()}.bytes())
		for _, e := range h.drain() {
			if taken[e.Counter] || !e.Sealed || e.Counter != sealed(sealKey(), uint32(e.Counter>>32), e.Src, Priority{e.AdvBase, e.AdvSkew, e.Demote}) {
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
	h := newHarness(t)
	ok := want{verdict: xdpPass, counts: count("received"), events: 1}
	const skew = 25 // an interval of 98 ms: long enough that a burst is one on a busy machine, too
	at := func(src string, counter uint64, base uint8) []byte { return from(src, advert(base, skew, 0, counter)) }
	strict := goldenSpec("192.0.2.1")
	strict.StrictReplay = true
	const far = 1 << 40
	type step struct {
		counter uint64
		ok      bool
	}
	for name, steps := range map[string][]step{
		"counting":                     {{10, true}, {11, true}, {13, true}, {20, true}, {20, false}, {19, false}, {10, false}, {21, true}},
		"two families":                 {{10, true}, {12, true}, {14, true}, {16, true}, {15, false}},
		"constant":                     {{far, true}, {far, true}, {far, true}, {far, true}, {far, true}},
		"constant, and booted":         {{far, true}, {far, true}, {9 * far, true}, {9 * far, true}, {far, true}},
		"random":                       {{5 * far, true}, {far, true}, {9 * far, true}, {2 * far, true}, {8 * far, true}, {3 * far, true}},
		"random, then counting":        {{5 * far, true}, {far, true}, {9 * far, true}, {9*far + 1, true}, {9*far + 2, true}, {9*far + 3, true}, {9*far + 3, false}, {5 * far, false}},
		"behind before it has counted": {{10, true}, {9, false}, {10, true}},
		"counting, far jumps":          {{10, true}, {11, true}, {12, true}, {13, true}, {far, false}, {5 * far, false}, {14, true}, {far, false}},
		"counting over the wrap":       {{1<<64 - 2, true}, {1<<64 - 1, true}, {0, true}, {1, true}, {1<<64 - 1, false}, {2, true}},
	} {
		h.fresh(strict)
		for i, s := range steps {
			w := ok
			if !s.ok {
				w = replayed
			}
			h.expect(fmt.Sprintf("%s: step %d", name, i), at("192.0.2.2", s.counter, 1), w)
		}
	}

	// After a few jumps, an interval apart, a source that counted is one that booted.
	h.fresh(strict)
	count4 := func(from uint64) {
		for i := range uint64(4) {
			h.expect("counting", at("192.0.2.2", from+i, 0), ok)
		}
	}
	count4(10)
	interval := int64(skew * 1_000_000_000 / 256)
	for i := range uint64(3) {
		h.expect("jump", at("192.0.2.2", (9-i)*far, 0), replayed)
		h.expect("a burst is one jump", at("192.0.2.2", (9-i)*far+9, 0), replayed)
		time.Sleep(time.Duration(interval))
	}
	h.expect("booted", at("192.0.2.2", 2*far, 0), ok)
	h.expect("at random", at("192.0.2.2", far, 0), ok)
	count4(far + 1)

	// What it adopted from another, or from us, is no jump.
	h.expect("another source", at("192.0.2.3", 7*far, 0), ok)
	h.expect("adopted", at("192.0.2.2", 7*far+1, 0), ok)
	h.g.RecordSent(3*far, [20]byte{}, Priority{1, 0, 0})
	h.expect("adopted from us", at("192.0.2.2", 3*far+2, 0), ok)
	h.expect("and goes on", at("192.0.2.2", 3*far+3, 0), ok)
	h.expect("not again", at("192.0.2.2", 3*far+3, 0), replayed)
	h.expect("nor the one before", at("192.0.2.2", 3*far+2, 0), replayed)
	h.expect("another took over", at("192.0.2.3", 3*far-5, 0), ok)
	h.expect("adopted, a little behind", at("192.0.2.2", 3*far-4, 0), ok)

	h.fresh(goldenSpec("192.0.2.1"))
	for range 3 {
		h.expect("not strict", at("192.0.2.2", 10, 1), ok)
	}
}
