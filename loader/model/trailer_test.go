// SPDX-License-Identifier: Apache-2.0

package model

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"vipd/agent/wire"
	"vipd/loader/tables"
)

// TestTrailerVectors holds the twin of this package against the paper's vector and against what agent/wire computes for
// the same advert.
func TestTrailerVectors(t *testing.T) {
	var key [16]byte
	msg := make([]byte, 15)
	for i := range key {
		key[i] = byte(i)
	}
	copy(msg, key[:])
	if got := sipHash(key, msg); got != 0xa129ca6149be45e5 {
		t.Errorf("sip: %#x", got)
	}
	k, err := wire.NewKey(goldenKey)
	if err != nil {
		t.Fatal(err)
	}
	if k.TrailerKey() != trailerKey() {
		t.Error("the key of the tags is another one")
	}
	c := Advert(1, 100, 3, 1_764_000_000_000_000)
	theirs := wire.Advert{VHID: 1, AdvBase: 1, AdvSkew: 100, Demote: 3, AuthLen: 7, Counter: c.counter, Digest: c.digest}
	for _, src := range []netip.Addr{PeerAddr, PeerAddr6} {
		for _, beat := range []uint16{0, 1000} {
			want, err := k.TrailerKey().Trailer(src, theirs, beat).AppendBinary(nil)
			if got := trailerFor(trailerKey(), src, c, beat); err != nil || !bytes.Equal(got, want) {
				t.Errorf("from %s: %x, want %x (%v)", src, got, want, err)
			}
		}
	}
}

var (
	replayed    = Want{Verdict: xdpDrop, Counts: count("replay")}
	badTrailer  = Want{Verdict: xdpDrop, Counts: count("bad_trailer")}
	wellHeard   = Want{Verdict: XDPPass, Counts: count("received"), events: 1}
	thirdAddr   = netip.MustParseAddr("192.0.2.3")
	firstNumber = uint64(1_764_000_000_000_000)
)

// newest is the number of an advert that was sent just now.
func newest() uint64 { return firstNumber + uint64(BootNow())/1000 }

func TestProven(t *testing.T) {
	h := NewHarness(t)
	h.Fresh(ProvenSpec("192.0.2.1"))
	p := prio(1, 100, 0)
	first := provenAdvert(1000, PeerAddr, p)
	h.Expect("never heard", FrameOf(first), wellHeard)
	s := h.Seen()
	if !s.Proven || s.DemoteAware || s.DemoteEver || s.Counter != 1000 {
		t.Errorf("recorded %+v", s)
	}
	h.Expect("the same again", FrameOf(first), replayed)
	h.Expect("the next", FrameOf(provenAdvert(1001, PeerAddr, p)), wellHeard)
	h.Expect("the one before", FrameOf(first), replayed)
	h.Expect("with another priority", FrameOf(provenAdvert(1002, PeerAddr, prio(1, 0, 9))), wellHeard)
	h.Expect("far ahead", FrameOf(provenAdvert(1<<62, PeerAddr, p)), wellHeard)
	h.Expect("behind that", FrameOf(provenAdvert(1<<62-1, PeerAddr, p)), replayed)

	// Fields that CARP's own digest does not cover.
	good := provenAdvert(1<<62+10, PeerAddr, p)
	for name, change := range map[string]func(*carp){
		"advbase": func(c *carp) { c.base = 0 },
		"advskew": func(c *carp) { c.skew = 0 },
		"demote":  func(c *carp) { c.demote = 1 },
		"goodbye": func(c *carp) { c.base, c.skew = 255, 255 },
		"beat":    func(c *carp) { c.trailer[3]++; c.trailer[19]-- },
		"flags":   func(c *carp) { c.trailer[5]++; c.trailer[19]-- },
		"tag":     func(c *carp) { c.trailer[8]++; c.trailer[10]-- },
		"of another advert": func(c *carp) {
			c.trailer = provenAdvert(1<<62+9, PeerAddr, p).trailer
		},
	} {
		forged := good
		forged.trailer = slices.Clone(good.trailer)
		change(&forged)
		h.Expect("forged "+name, FrameOf(forged), badTrailer)
	}
	forgedSource := Packet{Src: netip.MustParseAddr("192.0.2.77"), Payload: good.bytes()}.Bytes()
	h.Expect("forged source", forgedSource, badTrailer)
	h.Expect("the other password", FrameOf(damaged(good)), Want{Verdict: xdpDrop, Counts: count("bad_hmac")})
	h.Expect("untouched after all", FrameOf(good), wellHeard)
	h.Expect("type and authlen are not bound",
		FrameOf(func() carp { c := provenAdvert(1<<62+11, PeerAddr, p); c.authlen = 9; return c }()), wellHeard)
}

// otherList returns an advert of a vipd node for another list of addresses.
func otherList(number uint64, src netip.Addr) carp {
	c := Advert(1, 100, 0, number)
	c.digest = digest(goldenKey, []byte{2, 1, 1}, number)
	return c.provenBy(trailerKey(), src)
}

// TestAnotherList: an advert for another list of addresses never counts, and proves its sender to be a vipd node: its
// number is spent, it is not believed without a trailer, and the agent hears of it.
func TestAnotherList(t *testing.T) {
	h := NewHarness(t)
	h.Fresh(ProvenSpec("192.0.2.1"))
	h.Master(1)
	h.Group.SetSentPriority(prio(1, 200, 0))
	before := h.Seen()
	refused := Want{Verdict: xdpDrop, Counts: count("bad_hmac")}
	told := func(what string, number uint64) {
		t.Helper()
		got := h.Plane.Hellos(nil)
		if number == 0 && len(got) == 0 {
			return
		}
		if len(got) != 1 || len(got[0].Payload) != 0 || got[0].Number != number || got[0].Src != PeerAddr ||
			got[0].VHID != 1 || got[0].Slot != h.Group.Slot() {
			t.Errorf("%s: told %+v, want %d", what, got, number)
		}
	}
	h.Expect("the first", FrameOf(otherList(100, PeerAddr)), refused)
	told("the first", 100)
	h.Expect("a copy costs no digest", FrameOf(otherList(100, PeerAddr)), replayed)
	h.Expect("the next", FrameOf(otherList(101, PeerAddr)), refused)
	told("at once after the first", 0)
	stripped := Advert(1, 0, 0, 102)
	h.Expect("without a trailer", FrameOf(stripped), badTrailer)
	forged := otherList(103, PeerAddr)
	forged.trailer[8]++
	forged.trailer[10]--
	h.Expect("with a wrong tag", FrameOf(forged), refused)
	told("of a wrong tag", 0)
	if s := h.Seen(); s != before {
		t.Errorf("it counted: %+v, before %+v", s, before)
	}
	if ans, err := h.Group.Answering(BootNow()); err != nil || !ans {
		t.Errorf("answering %v, %v", ans, err)
	}
	none := netip.IPv4Unspecified()
	h.Expect("from no address", Packet{Src: none, Payload: otherList(200, none).bytes()}.Bytes(), refused)
	told("of no address", 0)
	// With the list of this group it counts, from the number on that is spent.
	h.Expect("the old number with this list", FrameOf(provenAdvert(101, PeerAddr, prio(1, 250, 0))), replayed)
	h.Expect("and a new one", FrameOf(provenAdvert(104, PeerAddr, prio(1, 250, 0))), wellHeard)
	h.untold()
	time.Sleep(3 * time.Second)
	h.Expect("after three seconds", FrameOf(otherList(uint64(4e6), PeerAddr)), refused)
	told("after three seconds", 4e6)
}

// TestStripped: a source that has proven itself is not believed without a trailer, until that is forgotten.
func TestStripped(t *testing.T) {
	h := NewHarness(t)
	s := ProvenSpec("192.0.2.1")
	h.Fresh(s)
	stripped := func(c carp) carp { c.trailer = nil; return c }
	mine := provenAdvert(10, PeerAddr, prio(1, 100, 0))
	h.Expect("an ordinary peer", from("192.0.2.3", Advert(1, 0, 0, 7)), wellHeard)
	h.Expect("a vipd node, not known yet", FrameOf(stripped(mine)), wellHeard)
	h.Expect("proves itself", FrameOf(mine), wellHeard)
	next := provenAdvert(11, PeerAddr, prio(1, 100, 0))
	h.Expect("stripped", FrameOf(stripped(next)), badTrailer)
	worse := stripped(next)
	worse.skew = 0
	h.Expect("stripped, with another priority", FrameOf(worse), badTrailer)
	later := next
	later.trailer = slices.Clone(next.trailer)
	later.trailer[1], later.trailer[19] = 2, later.trailer[19]-1
	h.Expect("a trailer of a later version is none", FrameOf(later), badTrailer)
	h.Expect("from a stranger", from("192.0.2.3", stripped(next)), wellHeard)
	if gone, err := h.Group.ForgetPeer(PeerAddr); err != nil || !gone {
		t.Fatalf("forget: %v %v", gone, err)
	}
	if gone, err := h.Group.ForgetPeer(PeerAddr); err != nil || gone {
		t.Errorf("forget what is not known: %v %v", gone, err)
	}
	h.Expect("after it was forgotten", FrameOf(stripped(next)), wellHeard)

	// As long as the memory says.
	for _, c := range []struct {
		memory, ago time.Duration
		want        Want
	}{
		{0, 20 * time.Second, badTrailer},
		{12 * time.Second, 8 * time.Second, badTrailer},
		{12 * time.Second, 16 * time.Second, wellHeard},
	} {
		s.PeerMemory = c.memory
		h.Fresh(s)
		heard := tables.Peer{Addr: PeerAddr, Number: 5, At: BootNow() - c.ago.Nanoseconds()}
		if err := h.Group.PutPeer(heard); err != nil {
			t.Fatal(err)
		}
		h.Expect(fmt.Sprint("memory ", c.memory, ", heard before ", c.ago), FrameOf(stripped(mine)), c.want)
	}
}

// peers returns those of the group.
func (h *Harness) peers() ([]tables.Peer, error) {
	all, err := h.Plane.Peers()
	return all[h.Group], err
}

// TestPeers: what is brought back holds, and does not replace what is known better.
func TestPeers(t *testing.T) {
	h := NewHarness(t)
	h.Fresh(ProvenSpec("192.0.2.1"))
	p := prio(1, 100, 0)
	stored := tables.Peer{Addr: PeerAddr, Number: 100, At: BootNow()}
	if err := h.Group.PutPeer(stored); err != nil {
		t.Fatal(err)
	}
	h.Expect("from before", FrameOf(provenAdvert(100, PeerAddr, p)), replayed)
	h.Expect("its next", FrameOf(provenAdvert(101, PeerAddr, p)), wellHeard)
	if err := h.Group.PutPeer(stored); err != nil {
		t.Fatal(err)
	}
	h.Expect("that once more", FrameOf(provenAdvert(101, PeerAddr, p)), replayed)
	peers, err := h.peers()
	if err != nil || len(peers) != 1 || peers[0].Addr != PeerAddr || peers[0].Number != 101 || peers[0].At < stored.At {
		t.Errorf("peers %+v, %v", peers, err)
	}
	none := netip.IPv4Unspecified()
	h.Expect("from no address", Packet{Src: none, Payload: provenAdvert(102, none, p).bytes()}.Bytes(), wellHeard)
	if peers, err = h.peers(); err != nil || len(peers) != 1 {
		t.Errorf("an unspecified address is a peer: %+v, %v", peers, err)
	}
}

// TestNumberFollowsTime: a number that was never heard is old once its sender must have sent higher ones.
func TestNumberFollowsTime(t *testing.T) {
	h := NewHarness(t)
	p := prio(1, 0, 0)
	for _, c := range []struct {
		name  string
		ago   time.Duration // since the peer was heard
		rises time.Duration // by how much its number is higher
		want  Want
	}{
		{"at once", 0, time.Microsecond, wellHeard},
		{"within three intervals and a second", 900 * time.Millisecond, time.Microsecond, wellHeard},
		{"kept for a minute", time.Minute, time.Microsecond, replayed},
		{"sent a moment after the last one, kept for a minute", time.Minute, time.Second, replayed},
		{"a little late", time.Minute, 59 * time.Second, wellHeard},
		{"a clock that is slowed down, beside one that is sped up", time.Minute, 50 * time.Second, wellHeard},
	} {
		h.Fresh(ProvenSpec("192.0.2.1"))
		now := BootNow()
		if now < 2*time.Minute.Nanoseconds() {
			time.Sleep(time.Duration(2*time.Minute.Nanoseconds() - now)) // a machine that has just booted
		}
		heard := tables.Peer{Addr: PeerAddr, Number: firstNumber, At: BootNow() - c.ago.Nanoseconds()}
		if err := h.Group.PutPeer(heard); err != nil {
			t.Fatal(err)
		}
		number := firstNumber + uint64(c.rises.Microseconds())
		h.Expect(c.name, FrameOf(provenAdvert(number, PeerAddr, p)), c.want)
	}

	// What came late does not make the next one's tolerance later.
	h.Fresh(ProvenSpec("192.0.2.1"))
	if err := h.Group.PutPeer(tables.Peer{Addr: PeerAddr, Number: firstNumber, At: BootNow() - 5300e6}); err != nil {
		t.Fatal(err)
	}
	h.Expect("late", FrameOf(provenAdvert(firstNumber+1, PeerAddr, p)), wellHeard)
	peers, err := h.peers()
	if err != nil || len(peers) != 1 {
		t.Fatalf("peers %+v: %v", peers, err)
	}
	time.Sleep(500 * time.Millisecond) // with what it is late already, more than the tolerance
	h.Expect("later still", FrameOf(provenAdvert(firstNumber+2, PeerAddr, p)), replayed)
	h.Expect("in time", FrameOf(provenAdvert(firstNumber+5_500_000, PeerAddr, p)), wellHeard)
}

// TestUnknownSource: one that is not known, or that nobody can be told apart by, is held to what the group knows.
func TestUnknownSource(t *testing.T) {
	h := NewHarness(t)
	h.Fresh(ProvenSpec("192.0.2.1"))
	p := prio(1, 100, 0)
	of := func(src netip.Addr, number uint64) []byte {
		return Packet{Src: src, Payload: provenAdvert(number, src, p).bytes()}.Bytes()
	}
	none, fourth := netip.IPv4Unspecified(), netip.MustParseAddr("192.0.2.4")
	fifth := netip.MustParseAddr("192.0.2.5")
	if err := h.Group.SetSources([]netip.Addr{ownAddr, none}); err != nil { // a node without an address
		t.Fatal(err)
	}
	const crossing = 100_000
	const first = 1_000_000
	h.Expect("the first", of(PeerAddr, first), wellHeard)
	h.Expect("another, far below it", of(thirdAddr, first-crossing), replayed)
	h.Expect("no address, below it", of(none, first), replayed)
	h.Expect("another, the same", of(thirdAddr, first), replayed)
	h.Expect("another, above it", of(thirdAddr, first+1), wellHeard)
	h.Expect("that one again", of(thirdAddr, first+1), replayed)
	h.Expect("no address, above it", of(none, first+2), wellHeard)
	h.Expect("and that again", of(none, first+2), replayed)
	h.Group.RecordSent(2*first, [20]byte{}, p)
	h.Expect("far below what we could not send", of(fifth, first+3), wellHeard)
	h.Group.ConfirmSent(2 * first)
	h.Expect("far below what we sent", of(fourth, 2*first-crossing), replayed)
	h.Expect("no address, below what we sent", of(none, 2*first), replayed)
	h.Expect("a known one, far below what we sent", of(PeerAddr, 2*first-crossing), replayed)
	h.Expect("a known one, crossing what we sent", of(PeerAddr, 2*first-crossing+1), wellHeard)
	h.Expect("above what we sent", of(fourth, 2*first+1), wellHeard)
	// What we only may have sent in an earlier run does not count against others.
	h.Fresh(ProvenSpec("192.0.2.1"))
	h.Group.SetSequence(10 * first)
	h.Expect("after our restart", of(PeerAddr, 1), wellHeard)
	h.Expect("from no address, which is ours as well", of(none, 2), wellHeard)
}

// TestReplayLeavesNothing: neither record nor yield nor event.
func TestReplayLeavesNothing(t *testing.T) {
	h := NewHarness(t)
	h.Fresh(ProvenSpec("192.0.2.1"))
	h.Run(FrameOf(provenAdvert(10, PeerAddr, prio(1, 100, 0))))
	before := h.Seen()
	h.Master(1)
	h.Group.SetSentPriority(prio(1, 50, 0))
	h.Expect("its own again", FrameOf(provenAdvert(10, PeerAddr, prio(1, 100, 0))), replayed)
	forged := provenAdvert(11, PeerAddr, prio(1, 100, 0))
	forged.skew = 0
	h.Expect("forged", FrameOf(forged), badTrailer)
	forged.trailer = nil
	h.Expect("stripped", FrameOf(forged), badTrailer)
	if s := h.Seen(); s != before {
		t.Errorf("recorded %+v, before %+v", s, before)
	}
	if ans, err := h.Group.Answering(BootNow()); err != nil || !ans {
		t.Errorf("answering %v, %v", ans, err)
	}
	h.Expect("superior", FrameOf(provenAdvert(11, PeerAddr, prio(1, 0, 0))),
		Want{Verdict: XDPPass, Counts: count("received", "yields"), events: 1})
}

// TestProvenNotAware: a vipd node's demote byte does not count, already with its first advert, since its skew says the
// same; so two of them with different advbase, one demoted, agree about who yields, and no third node that ignores the
// byte goes in a circle with them.
func TestProvenNotAware(t *testing.T) {
	h := NewHarness(t)
	h.Fresh(ProvenSpec("192.0.2.1"))
	number := uint64(0)
	yields := func(theirs, mine tables.Priority) bool {
		t.Helper()
		h.drain()
		number++
		h.Group.SetSentPriority(mine)
		h.Master(h.Group.Generation() + 1)
		h.untold()
		h.Run(FrameOf(provenAdvert(number, PeerAddr, theirs)))
		evs := h.drain()
		if len(evs) != 1 || !evs[0].Proven || evs[0].DemoteAware {
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

func TestRequireTrailer(t *testing.T) {
	h := NewHarness(t)
	s := ProvenSpec("192.0.2.1")
	s.RequireTrailer = true
	h.Fresh(s)
	h.Expect("no trailer", FrameOf(Advert(1, 0, 0, 7)), badTrailer)
	h.Expect("no trailer, nor the password", FrameOf(damaged(Advert(1, 0, 0, 7))), badTrailer)
	h.Expect("a trailer", FrameOf(provenAdvert(1, PeerAddr, prio(1, 0, 0))), wellHeard)
	s.Contexts = append(s.Contexts, tables.AuthContext{Key: []byte("other"), Prefix: s.Contexts[0].Prefix})
	if err := h.Group.Update(s); err == nil {
		t.Error("a context without a key for trailers was accepted in a group that requires them")
	}
}

// TestTrailerPerContext: a trailer is right under the password that signs the advert, and numbers outlive a change of
// it.
func TestTrailerPerContext(t *testing.T) {
	h := NewHarness(t)
	s := ProvenSpec("192.0.2.1")
	other := [16]byte{1}
	s.Contexts = append(s.Contexts,
		tables.AuthContext{Key: []byte("new"), Prefix: s.Contexts[0].Prefix, TrailerKey: other},
		tables.AuthContext{Key: []byte("plain"), Prefix: s.Contexts[0].Prefix},
		tables.AuthContext{Key: goldenKey, Prefix: []byte{2, 1, 1, 10, 0, 0, 1}, TrailerKey: trailerKey()})
	h.Fresh(s)
	send := func(key string, prefix []byte, tag [16]byte, number uint64) []byte {
		c := carp{vhid: 1, base: 1, counter: number}
		c.digest = digest([]byte(key), prefix, number)
		return FrameOf(c.provenBy(tag, PeerAddr))
	}
	same := s.Contexts[0].Prefix
	h.Expect("old key", send(string(goldenKey), same, trailerKey(), 1), wellHeard)
	h.Expect("new key", send("new", same, other, 2), wellHeard)
	if s := h.Seen(); !s.Proven || s.Context != 1 {
		t.Errorf("recorded %+v", s)
	}
	h.Expect("the numbers go on over a change of key", send("new", same, other, 1), replayed)
	h.Expect("the old key's trailer on the new key's advert", send("new", same, trailerKey(), 9),
		Want{Verdict: xdpDrop, Counts: count("bad_hmac")})
	h.Expect("a key without trailers", send("plain", same, [16]byte{}, 9), badTrailer)
	h.Expect("one password, two lists", send(string(goldenKey), s.Contexts[3].Prefix, trailerKey(), 10), wellHeard)
	if s := h.Seen(); !s.Proven || s.Context != 3 {
		t.Errorf("recorded %+v", s)
	}
}

// TestOwnProven: what we sent comes back as a loop or a replay, however long ago.
func TestOwnProven(t *testing.T) {
	h := NewHarness(t)
	h.Fresh(ProvenSpec("192.0.2.1"))
	p := prio(1, 0, 0)
	own := func(number uint64) carp { return provenAdvert(number, ownAddr, p) }
	from := func(c carp) []byte { return Packet{Src: ownAddr, Payload: c.bytes()}.Bytes() }
	h.Group.SetSequence(100)
	h.Expect("of an earlier run", from(own(99)), replayed)
	for number := uint64(101); number <= 120; number++ {
		c := own(number)
		h.Group.RecordSent(c.counter, c.digest, p)
	}
	h.Expect("the last", from(own(120)), Want{Verdict: xdpDrop, Counts: count("loop")})
	h.Expect("one that the loop check forgot", from(own(101)), replayed)
	h.Expect("one we never sent", from(own(121)), wellHeard)
}

// TestOwnStripped: without its trailer, ours is not ours, however long ago we sent it; from no address it may be
// another's.
func TestOwnStripped(t *testing.T) {
	h := NewHarness(t)
	h.Fresh(ProvenSpec("192.0.2.1"))
	p := prio(1, 0, 0)
	none := netip.IPv4Unspecified()
	if err := h.Group.SetSources([]netip.Addr{ownAddr, none}); err != nil {
		t.Fatal(err)
	}
	c := provenAdvert(100, ownAddr, p)
	h.Expect("long ago", Packet{Src: ownAddr, Payload: c.bytes()[:36]}.Bytes(), badTrailer)
	h.Group.RecordSent(c.counter, c.digest, p)
	h.Expect("just now", Packet{Src: ownAddr, Payload: c.bytes()[:36]}.Bytes(), badTrailer)
	h.Expect("the whole", Packet{Src: ownAddr, Payload: c.bytes()}.Bytes(), Want{Verdict: xdpDrop, Counts: count("loop")})
	h.Expect("from no address", Packet{Src: none, Payload: Advert(1, 0, 0, 7).bytes()}.Bytes(), wellHeard)
}

// TestTrailerNeedsNoBudget: a master with trailers is heard whatever the budget is, and its flooders are not.
func TestTrailerNeedsNoBudget(t *testing.T) {
	pin(t)
	h := NewHarness(t)
	h.Fresh(ProvenSpec("192.0.2.1"))
	p := prio(100, 0, 0)
	h.Run(FrameOf(provenAdvert(1, PeerAddr, p)))
	got := h.flood(from("192.0.2.66", damaged(Advert(1, 0, 0, 100))), 5000)
	if got["rate_limited"] == 0 {
		t.Fatalf("flood: %v", got)
	}
	for i := range uint64(9) {
		h.Expect("the master goes on", FrameOf(provenAdvert(2+i, PeerAddr, p)), wellHeard)
	}
}

// TestReplayAttack: any mix of captured adverts of two vipd nodes, with fields altered at will, with and without their
// trailers, is never taken in but as it was sent, and never twice.
func TestReplayAttack(t *testing.T) {
	h := NewHarness(t)
	s := ProvenSpec("192.0.2.1")
	s.RequireTrailer = true
	h.Fresh(s)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	h.Group.SetSentPriority(tables.Priority{AdvBase: 1})
	srcs := []netip.Addr{PeerAddr, thirdAddr, netip.IPv4Unspecified()}
	type captured struct {
		src netip.Addr
		c   carp
	}
	var all []captured
	sent := make(map[uint64]captured)
	taken := make(map[uint64]bool)
	for i := range 3000 {
		var x captured
		if len(all) == 0 || i%10 == 0 { // the nodes themselves
			src := srcs[rng.IntN(3)]
			x = captured{src, provenAdvert(newest(), src, prio(1, uint8(100+rng.IntN(100)), 0))}
			all = append(all, x)
			sent[x.c.counter] = x
		} else {
			x = all[rng.IntN(len(all))]
			switch rng.IntN(7) {
			case 0:
				x.src = srcs[rng.IntN(3)]
			case 1:
				x.c.skew = uint8(rng.IntN(256))
			case 2:
				x.c.base, x.c.demote = uint8(rng.IntN(3)), uint8(rng.IntN(3))
			case 3:
				x.src = netip.AddrFrom4([4]byte{192, 0, 2, byte(rng.IntN(256))})
			case 4:
				x.c.trailer = nil
			case 5:
				x.c.trailer = all[rng.IntN(len(all))].c.trailer
			}
		}
		h.Run(Packet{Src: x.src, Payload: x.c.bytes()}.Bytes())
		for _, e := range h.drain() {
			was, ok := sent[e.Counter]
			if taken[e.Counter] || !e.Proven || !ok || was.src != e.Src ||
				prio(was.c.base, was.c.skew, was.c.demote) != prio(e.AdvBase, e.AdvSkew, e.Demote) {
				t.Fatalf("seed %d: took in %+v, sent as %+v", seed, e, was)
			}
			taken[e.Counter] = true
		}
	}
	if len(taken) < len(all)*9/10 {
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
