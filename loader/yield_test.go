// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
)

// superior is the Go twin of superior() in bpf/role.h, written from the rule: t =
// advbase*10^6 + floor(advskew*10^6/256); equal yields; 255/255 never is superior;
// OpenBSD's demote rule where the source is aware.
func superior(theirs, mine Priority, aware bool) bool {
	t := func(p Priority) int { return int(p.AdvBase)*1_000_000 + int(p.AdvSkew)*1_000_000/256 }
	if theirs.AdvBase == 255 && theirs.AdvSkew == 255 {
		return false
	}
	byTime := t(theirs) <= t(mine)
	if !aware {
		return byTime
	}
	return byTime && theirs.Demote <= mine.Demote || theirs.Demote < mine.Demote
}

func TestYieldTable(t *testing.T) {
	h := newHarness(t)
	for _, tc := range []struct {
		name         string
		theirs, mine Priority
		yields       bool
	}{
		{"better skew", Priority{1, 0, 0}, Priority{1, 1, 0}, true},
		{"equal", Priority{1, 5, 0}, Priority{1, 5, 0}, true},
		{"worse skew", Priority{1, 6, 0}, Priority{1, 5, 0}, false},
		{"better base, worse skew", Priority{1, 255, 0}, Priority{2, 0, 0}, true},
		{"worse base, better skew", Priority{2, 0, 0}, Priority{1, 255, 0}, false},
		{"base 0", Priority{0, 1, 0}, Priority{1, 0, 0}, true},
		{"goodbye", Priority{255, 255, 0}, Priority{1, 0, 0}, false},
		{"goodbye against goodbye", Priority{255, 255, 0}, Priority{255, 255, 0}, false},
		{"anything against our goodbye", Priority{255, 254, 0}, Priority{255, 255, 0}, true},
		{"aware and more demoted", Priority{1, 0, 9}, Priority{1, 5, 8}, false},
		{"aware and as demoted", Priority{1, 0, 9}, Priority{1, 5, 9}, true},
		{"aware, worse, less demoted", Priority{9, 0, 7}, Priority{1, 0, 8}, true},
		{"not aware of our demotion", Priority{9, 0, 0}, Priority{1, 0, 8}, false},
	} {
		h.fresh(goldenSpec("192.0.2.1"))
		if got := h.yields(tc.theirs, tc.mine); got != tc.yields {
			t.Errorf("%s: yielded %v, want %v", tc.name, got, tc.yields)
		}
	}
}

// yields runs one advert against a MASTER with the lease fresh, and checks that the
// kernel is of one mind about it.
func (h *harness) yields(theirs, mine Priority) bool {
	h.t.Helper()
	gen := h.g.Generation() + 1
	h.g.SetSentPriority(mine)
	h.master(gen)
	before := h.counters()
	h.run(frameOf(advert(theirs.AdvBase, theirs.AdvSkew, theirs.Demote, 7)))
	evs, s := h.drain(), h.seen()
	if len(evs) != 1 {
		h.t.Fatalf("%d events", len(evs))
	}
	yielded := evs[0].Yielded
	ans, err := h.g.Answering(bootNow())
	if err != nil {
		h.t.Fatal(err)
	}
	tx, _ := h.run(arpFor("192.0.2.1").bytes())
	rose := since(before, h.counters())["yields"] == 1
	if ans == yielded || (s.YieldedGeneration == gen) != yielded || (tx == xdpTX) == yielded || rose != yielded ||
		s.Yielded != yielded || evs[0].Generation != gen {
		h.t.Errorf("%+v against %+v: event yielded %v, answering %v, yielded generation %d of %d, arp verdict %d, counted %v",
			theirs, mine, yielded, ans, s.YieldedGeneration, gen, tx, rose)
	}
	return yielded
}

// TestYieldRandom compares the C rule with its Go twin, which TestSuperiorIsTheElections holds to the election.
func TestYieldRandom(t *testing.T) {
	h := newHarness(t)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	small := func() uint8 { return uint8(rng.IntN(4)) }
	for i := range 4000 {
		theirs := Priority{uint8(rng.Uint32()), uint8(rng.Uint32()), uint8(rng.Uint32())}
		mine := Priority{uint8(rng.Uint32()), uint8(rng.Uint32()), uint8(rng.Uint32())}
		if i%2 == 0 { // close together: ties
			theirs, mine = Priority{small(), small(), small()}, Priority{small(), small(), small()}
		}
		if i%16 == 0 {
			h.fresh(goldenSpec("192.0.2.1")) // forgets that the source sent a demote byte
			h.g.SetRole(Role{State: RoleInit, Generation: uint64(i)})
		}
		got := h.yields(theirs, mine)
		// Same counter throughout: aware as soon as a demote byte was seen.
		aware := h.seen().DemoteAware
		if want := superior(theirs, mine, aware); got != want {
			t.Fatalf("seed %d: %+v against %+v, aware %v: yielded %v, want %v", seed, theirs, mine, aware, got, want)
		}
	}
}

func TestYieldByLease(t *testing.T) {
	h := newHarness(t)
	h.g.SetSentPriority(Priority{AdvBase: 1})
	worse := frameOf(advert(9, 0, 0, 7))
	goodbye := frameOf(advert(255, 255, 0, 7))
	now := bootNow()
	for i, tc := range []struct {
		name   string
		role   Role
		frame  []byte
		yields bool
	}{
		{"lease fresh", Role{State: RoleMaster, Lease: now + 60e9}, worse, false},
		{"lease over, may still send", Role{State: RoleMaster, Lease: now - 1, SendUntil: now + 60e9}, worse, false},
		{"just promoted", Role{State: RoleMaster, SendUntil: now + 60e9}, worse, false},
		{"all over", Role{State: RoleMaster, Lease: now - 1, SendUntil: now - 1}, worse, true},
		{"all over, goodbye", Role{State: RoleMaster, Lease: now - 1}, goodbye, true},
		{"backup", Role{State: RoleBackup}, worse, false},
		{"init", Role{State: RoleInit}, worse, false},
	} {
		tc.role.Generation = uint64(i + 1)
		h.g.SetRole(tc.role)
		h.run(tc.frame)
		s := h.seen()
		if got := s.YieldedGeneration == tc.role.Generation; got != tc.yields || s.Yielded != tc.yields {
			t.Errorf("%s: yielded %v, want %v (%+v)", tc.name, got, tc.yields, s)
		}
	}
	// A yield stands until a new generation, whatever the lease.
	h.master(100)
	h.run(frameOf(advert(1, 0, 0, 8)))
	h.run(worse)
	h.master(100)
	if ans, _ := h.g.Answering(bootNow()); ans {
		t.Error("a renewal cleared a yield")
	}
	h.master(101)
	if ans, _ := h.g.Answering(bootNow()); !ans {
		t.Error("a new generation did not clear the yield")
	}
	if s := h.seen(); s.YieldedGeneration != 100 {
		t.Errorf("yielded generation %d, want 100", s.YieldedGeneration)
	}
}

// TestAwareness: only a source that sent a demote byte and kept its counter is aware.
func TestAwareness(t *testing.T) {
	h := newHarness(t)
	step := func(name string, src string, demote uint8, counter uint64, ever, aware bool) {
		t.Helper()
		h.run(packet{src: netip.MustParseAddr(src), payload: advert(1, 0, demote, counter).bytes()}.bytes())
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
	h := newHarness(t)
	h.master(1)
	own := func(c carp) []byte { return packet{src: ownAddr, payload: c.bytes()}.bytes() }
	p := Priority{AdvBase: 1, AdvSkew: 10}
	for i := range uint64(20) {
		c := advert(p.AdvBase, p.AdvSkew, 0, 1000+i)
		h.g.RecordSent(c.counter, c.digest, p)
	}
	h.g.SetSentPriority(p)
	for i := range uint64(20) {
		c := advert(p.AdvBase, p.AdvSkew, 0, 1000+i)
		if i >= 12 { // the last eight are remembered
			h.expect(fmt.Sprint("loop ", i), own(c), want{verdict: xdpDrop, counts: count("loop")})
		}
	}
	if s := h.seen(); s.Count != 0 || s.YieldedGeneration != 0 {
		t.Errorf("a loop left a record: %+v", s)
	}
	changed := advert(p.AdvBase, p.AdvSkew+1, 0, 1019)
	h.expect("our digest with another priority is no loop", own(changed),
		want{verdict: xdpPass, counts: count("received", "own_counter"), events: 1})
	last := advert(p.AdvBase, p.AdvSkew+1, 0, 1019)
	h.run(frameOf(last))
	if evs := h.drain(); len(evs) != 1 || !evs[0].OwnCounter || evs[0].Yielded {
		t.Errorf("our counter from another source: %+v", evs)
	}
	h.expect("the same that a peer adopted obliges", frameOf(advert(p.AdvBase, p.AdvSkew, 0, 1019)),
		want{verdict: xdpPass, counts: count("received", "own_counter", "yields"), events: 1})
	h.expect("ours, but forgotten", own(advert(p.AdvBase, p.AdvSkew, 0, 1011)),
		want{verdict: xdpPass, counts: count("received"), events: 1})
}

// TestYieldParallel: adverts on several CPUs while generations change. The yielded
// generation never falls, no advert is lost from the record, and who holds a generation
// that an advert met has yielded.
func TestYieldParallel(t *testing.T) {
	h := newHarness(t)
	h.g.SetSentPriority(Priority{AdvBase: 1})
	frame := frameOf(advert(0, 1, 0, 7))
	h.run(frame)
	const workers, each, generations = 4, 300, 200
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				if _, err := h.d.objs.VipdXdp.Run(&ebpf.RunOptions{Data: frame}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	last := uint64(0)
	for gen := uint64(1); gen <= generations; gen++ {
		h.master(gen)
		if y := h.seen().YieldedGeneration; y < last || y > gen {
			t.Errorf("yielded generation %d after %d, of %d", y, last, gen)
		} else {
			last = y
		}
	}
	wg.Wait()
	h.run(frame)
	if s := h.seen(); s.Count != workers*each+2 || s.YieldedGeneration != generations {
		t.Errorf("count %d, yielded generation %d", s.Count, s.YieldedGeneration)
	}
	for _, e := range h.drain() {
		if e.Yielded != (e.Generation > 0) {
			t.Fatalf("%+v", e)
		}
	}
}
