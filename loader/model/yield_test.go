// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"vipd/loader/tables"
)

func TestYieldTable(t *testing.T) {
	h := NewHarness(t)
	for _, tc := range []struct {
		name         string
		theirs, mine tables.Priority
		yields       bool
	}{
		{"better skew", prio(1, 0, 0), prio(1, 1, 0), true},
		{"equal", prio(1, 5, 0), prio(1, 5, 0), true},
		{"worse skew", prio(1, 6, 0), prio(1, 5, 0), false},
		{"better base, worse skew", prio(1, 255, 0), prio(2, 0, 0), true},
		{"worse base, better skew", prio(2, 0, 0), prio(1, 255, 0), false},
		{"base 0", prio(0, 1, 0), prio(1, 0, 0), true},
		{"goodbye", prio(255, 255, 0), prio(1, 0, 0), false},
		{"goodbye against goodbye", prio(255, 255, 0), prio(255, 255, 0), false},
		{"anything against our goodbye", prio(255, 254, 0), prio(255, 255, 0), true},
		{"aware and more demoted", prio(1, 0, 9), prio(1, 5, 8), false},
		{"aware and as demoted", prio(1, 0, 9), prio(1, 5, 9), true},
		{"aware, worse, less demoted", prio(9, 0, 7), prio(1, 0, 8), true},
		{"not aware of our demotion", prio(9, 0, 0), prio(1, 0, 8), false},
	} {
		h.Fresh(GoldenSpec("192.0.2.1"))
		if got := h.yields(tc.theirs, tc.mine); got != tc.yields {
			t.Errorf("%s: yielded %v, want %v", tc.name, got, tc.yields)
		}
	}
}

// yields runs one advert against a MASTER with the lease fresh, and checks that the
// kernel is of one mind about it.
func (h *Harness) yields(theirs, mine tables.Priority) bool {
	h.T.Helper()
	gen := h.Group.Generation() + 1
	h.Group.SetSentPriority(mine)
	h.Master(gen)
	before := h.counters()
	h.Run(FrameOf(Advert(theirs.AdvBase, theirs.AdvSkew, theirs.Demote, 7)))
	evs, s := h.drain(), h.Seen()
	if len(evs) != 1 {
		h.T.Fatalf("%d events", len(evs))
	}
	yielded := evs[0].Yielded
	ans, err := h.Group.Answering(BootNow())
	if err != nil {
		h.T.Fatal(err)
	}
	tx, _ := h.Run(ARPFor("192.0.2.1").Bytes())
	rose := since(before, h.counters())["yields"] == 1
	if ans == yielded || (s.YieldedGeneration == gen) != yielded || (tx == XDPTX) == yielded || rose != yielded ||
		s.Yielded != yielded || evs[0].Generation != gen {
		h.T.Errorf("%+v against %+v: event yielded %v, answering %v, yielded generation %d of %d, arp verdict %d, counted %v",
			theirs, mine, yielded, ans, s.YieldedGeneration, gen, tx, rose)
	}
	return yielded
}

// TestYieldRandom compares the C rule with its Go twin, which TestSuperiorIsTheElections holds to the election.
func TestYieldRandom(t *testing.T) {
	h := NewHarness(t)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	small := func() uint8 { return uint8(rng.IntN(4)) }
	for i := range 4000 {
		theirs := prio(uint8(rng.Uint32()), uint8(rng.Uint32()), uint8(rng.Uint32()))
		mine := prio(uint8(rng.Uint32()), uint8(rng.Uint32()), uint8(rng.Uint32()))
		if i%2 == 0 { // close together: ties
			theirs, mine = prio(small(), small(), small()), prio(small(), small(), small())
		}
		if i%16 == 0 {
			h.Fresh(GoldenSpec("192.0.2.1")) // forgets that the source sent a demote byte
			h.Group.SetRole(tables.Role{State: tables.RoleInit, Generation: uint64(i)})
		}
		got := h.yields(theirs, mine)
		// Same counter throughout: aware as soon as a demote byte was seen.
		aware := h.Seen().DemoteAware
		if want := superior(theirs, mine, aware); got != want {
			t.Fatalf("seed %d: %+v against %+v, aware %v: yielded %v, want %v", seed, theirs, mine, aware, got, want)
		}
	}
}

func TestYieldByLease(t *testing.T) {
	h := NewHarness(t)
	h.Group.SetSentPriority(tables.Priority{AdvBase: 1})
	worse := FrameOf(Advert(9, 0, 0, 7))
	goodbye := FrameOf(Advert(255, 255, 0, 7))
	now := BootNow()
	for i, tc := range []struct {
		name   string
		role   tables.Role
		frame  []byte
		yields bool
	}{
		{"lease fresh", tables.Role{State: tables.RoleMaster, Lease: now + 60e9}, worse, false},
		{
			"lease over, may still send",
			tables.Role{State: tables.RoleMaster, Lease: now - 1, SendUntil: now + 60e9},
			worse,
			false,
		},
		{"just promoted", tables.Role{State: tables.RoleMaster, SendUntil: now + 60e9}, worse, false},
		{"all over", tables.Role{State: tables.RoleMaster, Lease: now - 1, SendUntil: now - 1}, worse, true},
		{"all over, goodbye", tables.Role{State: tables.RoleMaster, Lease: now - 1}, goodbye, true},
		{"backup", tables.Role{State: tables.RoleBackup}, worse, false},
		{"init", tables.Role{State: tables.RoleInit}, worse, false},
	} {
		tc.role.Generation = uint64(i + 1)
		h.Group.SetRole(tc.role)
		h.Run(tc.frame)
		s := h.Seen()
		if got := s.YieldedGeneration == tc.role.Generation; got != tc.yields || s.Yielded != tc.yields {
			t.Errorf("%s: yielded %v, want %v (%+v)", tc.name, got, tc.yields, s)
		}
	}
	// A yield stands until a new generation, whatever the lease.
	h.Master(100)
	h.Run(FrameOf(Advert(1, 0, 0, 8)))
	h.Run(worse)
	h.Master(100)
	if ans, _ := h.Group.Answering(BootNow()); ans {
		t.Error("a renewal cleared a yield")
	}
	h.Master(101)
	if ans, _ := h.Group.Answering(BootNow()); !ans {
		t.Error("a new generation did not clear the yield")
	}
	if s := h.Seen(); s.YieldedGeneration != 100 {
		t.Errorf("yielded generation %d, want 100", s.YieldedGeneration)
	}
}

// TestAwareness: only a source that sent a demote byte and kept its counter is aware.
func TestAwareness(t *testing.T) {
	h := NewHarness(t)
	step := func(name string, src string, demote uint8, counter uint64, ever, aware bool) {
		t.Helper()
		h.untold()
		h.Run(Packet{Src: netip.MustParseAddr(src), Payload: Advert(1, 0, demote, counter).bytes()}.Bytes())
		evs := h.drain()
		if len(evs) != 1 || evs[0].DemoteEver != ever || evs[0].DemoteAware != aware {
			t.Errorf("%s: want ever %v, aware %v: %+v", name, ever, aware, evs)
		}
	}
	step("first", "192.0.2.2", 0, 7, false, false)
	step("demoted", "192.0.2.2", 3, 7, true, true)
	step("once is for ever", "192.0.2.2", 0, 7, true, true)
	step("another source", "192.0.2.3", 0, 7, false, false)
	step("counter moves", "192.0.2.2", 0, 8, true, false)
	step("and stays", "192.0.2.2", 3, 8, true, false)
	step("counter first", "192.0.2.4", 0, 1, false, false)
	step("counter first", "192.0.2.4", 0, 2, false, false)
	step("demoted then", "192.0.2.4", 1, 2, true, false)
	// OpenBSD's cookie is known by itself, from the second advert on.
	step("cookie", "192.0.2.5", 0, 9, false, false)
	step("cookie, the frame doubled", "192.0.2.5", 0, 9, false, false)
	time.Sleep(3 << 26) // a counter stays if it is the same two ticks of 2^26 ns later
	step("cookie again", "192.0.2.5", 0, 9, false, true)
	step("booted", "192.0.2.5", 0, 10, false, false)
	time.Sleep(3 << 26)
	step("and again", "192.0.2.5", 0, 10, false, true)
	step("counts after all", "192.0.2.5", 0, 11, false, false)
}

func TestLoop(t *testing.T) {
	h := NewHarness(t)
	h.Master(1)
	own := func(c carp) []byte { return Packet{Src: ownAddr, Payload: c.bytes()}.Bytes() }
	p := tables.Priority{AdvBase: 1, AdvSkew: 10}
	for i := range uint64(20) {
		c := Advert(p.AdvBase, p.AdvSkew, 0, 1000+i)
		h.Group.RecordSent(c.counter, c.digest, p)
	}
	h.Group.SetSentPriority(p)
	for i := range uint64(20) {
		c := Advert(p.AdvBase, p.AdvSkew, 0, 1000+i)
		if i >= 12 { // the last eight are remembered
			h.Expect(fmt.Sprint("loop ", i), own(c), Want{Verdict: xdpDrop, Counts: count("loop")})
		}
	}
	if s := h.Seen(); s.Count != 0 || s.YieldedGeneration != 0 {
		t.Errorf("a loop left a record: %+v", s)
	}
	changed := Advert(p.AdvBase, p.AdvSkew+1, 0, 1019)
	h.Expect("our digest with another priority is no loop", own(changed),
		Want{Verdict: XDPPass, Counts: count("received", "own_counter"), events: 1})
	last := Advert(p.AdvBase, p.AdvSkew+1, 0, 1019)
	h.Run(FrameOf(last))
	if evs := h.drain(); len(evs) != 1 || !evs[0].OwnCounter || evs[0].Yielded {
		t.Errorf("our counter from another source: %+v", evs)
	}
	h.Expect("the same that a peer adopted obliges", FrameOf(Advert(p.AdvBase, p.AdvSkew, 0, 1019)),
		Want{Verdict: XDPPass, Counts: count("received", "own_counter", "yields"), events: 1})
	h.Expect("ours, but forgotten", own(Advert(p.AdvBase, p.AdvSkew, 0, 1011)),
		Want{Verdict: XDPPass, Counts: count("received"), events: 1})
}

// TestYieldParallel: adverts on several CPUs while generations change. The yielded
// generation never falls, no advert is lost from the record, and who holds a generation
// that an advert met has yielded.
func TestYieldParallel(t *testing.T) {
	h := NewHarness(t)
	h.Group.SetSentPriority(tables.Priority{AdvBase: 1})
	frame := FrameOf(Advert(0, 1, 0, 7))
	h.Run(frame)
	const workers, each, generations = 4, 300, 200
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				if _, err := h.Plane.Objects.VipdXdp.Run(&ebpf.RunOptions{Data: frame}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	last := uint64(0)
	for gen := uint64(1); gen <= generations; gen++ {
		h.Master(gen)
		seen, err := h.Group.Seen()
		if y := seen.YieldedGeneration; err != nil || y < last || y > gen {
			t.Errorf("yielded generation %d after %d, of %d, %v", y, last, gen, err)
		} else {
			last = y
		}
	}
	wg.Wait()
	h.Run(frame)
	if s := h.Seen(); s.Count != workers*each+2 || s.YieldedGeneration != generations {
		t.Errorf("count %d, yielded generation %d", s.Count, s.YieldedGeneration)
	}
	for _, e := range h.drain() {
		if e.Yielded != (e.Generation > 0) {
			t.Fatalf("%+v", e)
		}
	}
}
