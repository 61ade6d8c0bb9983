// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"vipd/agent/election"
)

// The generator equals that of the standard library, which is not used so that no release of Go can change the
// meaning of a seed.
func TestStreamIsPCGDXSM(t *testing.T) {
	t.Parallel()
	s := newStream(7, "loss")
	want := rand.NewPCG(s.hi, s.lo)
	for range 1000 {
		if got := s.uint64(); got != want.Uint64() {
			t.Fatal("not PCG-DXSM")
		}
	}
	if *newStream(7, "loss") == *newStream(7, "faults") || *newStream(7, "loss") == *newStream(8, "loss") {
		t.Error("streams of another concern or seed are the same")
	}
}

func TestClockWhenInvertsLocal(t *testing.T) {
	t.Parallel()
	s := newStream(1, "clock")
	for range 10_000 {
		c := clock{
			at: s.between(0, time.Hour), read: election.Instant(s.below(1 << 45)),
			ppm: int64(s.below(2001) - 1000),
		}
		l := c.read + election.Instant(s.below(int(time.Hour)))
		at := c.when(l, c.at)
		if c.local(at) < l || at > c.at && c.local(at-1) >= l {
			t.Fatalf("%+v shows %d at %d, and %d just before; want %d first then", c, c.local(at), at, c.local(at-1), l)
		}
	}
	c := clock{ppm: 100}
	c.freeze(time.Second)
	stood := c.local(time.Second)
	if c.local(time.Minute) != stood || c.when(stood+1, time.Minute) != never {
		t.Error("a frozen clock moves")
	}
	c.thaw(time.Minute)
	if got := c.local(time.Minute); got != stood {
		t.Errorf("a clock that thaws jumps from %d to %d", stood, got)
	}
}

func TestQueueIsOrderedByTimeAndInsertion(t *testing.T) {
	t.Parallel()
	s := newStream(1, "queue")
	var q queue
	var want []happening
	for range 2000 {
		h := happening{at: time.Duration(s.below(100))}
		q.push(h)
		h.seq = q.seq
		want = append(want, h)
	}
	slices.SortStableFunc(want, func(a, b happening) int { return int(a.at - b.at) })
	for i := range want {
		if at := q.next(); at != want[i].at {
			t.Fatalf("next is at %d, want %d", at, want[i].at)
		}
		if h := q.pop(); h.seq != want[i].seq {
			t.Fatalf("number %d is %d, want %d", i, h.seq, want[i].seq)
		}
	}
	if q.next() != never {
		t.Error("an empty queue has a next")
	}
}

// TestAlarmsRingInOrder compares the heap with a linear search.
func TestAlarmsRingInOrder(t *testing.T) {
	t.Parallel()
	s := newStream(1, "alarms")
	members := make([]member, 50)
	plain := make([]time.Duration, len(members))
	for i := range members {
		members[i].id, plain[i] = i, never
	}
	var a alarms
	for range 20_000 {
		i, at := s.below(len(members)), time.Duration(s.below(1000))
		if s.chance(700) {
			a.set(&members[i], at)
			plain[i] = min(plain[i], at)
		} else if len(a.heap) > 0 {
			if s.chance(300) {
				at = never
			} else {
				at = max(at, a.next())
			}
			plain[a.heap[0].m.id] = at
			a.put(at)
		}
		first := slices.Min(plain)
		if a.next() != first || first != never && a.heap[0].m.id != slices.Index(plain, first) {
			t.Fatalf("first alarm %v, want %v", a.next(), first)
		}
		for i := range members {
			if m := &members[i]; (m.slot > 0) != (plain[i] != never) ||
				m.slot > 0 && (a.heap[m.slot-1].m != m || m.alarm != plain[i]) {
				t.Fatalf("member %d is out of place", i)
			}
		}
	}
}

// pair is two hosts that are up, the first one MASTER.
func pair(t *testing.T) *World {
	t.Helper()
	w := newWorld(
		Scenario{
			Seed: 1, Hosts: 2, Groups: 1, AdvBase: 1, Skews: SkewsSpread, Preempt: true, Latency: time.Millisecond,
			Trailers: TrailersRequired,
		},
		true,
	)
	w.at(0, w.audit)
	for _, h := range w.hosts {
		w.at(0, func() { w.boot(h) })
	}
	w.run(10 * time.Second)
	if !w.answering(w.hosts[0].members[0]) || w.violation != nil {
		t.Fatalf("no start: %v\n%s", w.violation, w.traces())
	}
	return w
}

func transitions(w *World) int { return w.stats.Transitions }

// TestFailoverTimes compares the times of takeovers with those of the protocol.
func TestFailoverTimes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		strike   func(*World, *host)
		from, to time.Duration // without an owner
	}{
		// The successor counts 3 s + 240/256 s from the last advert, up to 1 s before.
		{"crash", func(w *World, h *host) { w.crash(h) }, 2930 * time.Millisecond, 3950 * time.Millisecond},
		// The lease of 2.97 s continues; then no node answers until the successor takes over.
		{"agent killed", func(w *World, h *host) { w.killAgent(h) }, 950 * time.Millisecond, 980 * time.Millisecond},
		{"agent stopped", func(_ *World, h *host) { h.held++ }, 950 * time.Millisecond, 980 * time.Millisecond},
		{"released", func(w *World, h *host) {
			m := h.members[0]
			m.wanted, m.releasing = false, true
			w.ask(m, election.Release{Reason: election.ReasonDisabled})
		}, 0, 0},
	} {
		w := pair(t)
		w.stats.Gap = 0 // that of the start
		w.at(w.now+100*time.Millisecond, func() { c.strike(w, w.hosts[0]); w.check(w.groups[0]) })
		w.run(w.now + 10*time.Second)
		if gap := w.stats.Gap; w.violation != nil || gap < c.from || gap > c.to || !w.answering(w.hosts[1].members[0]) {
			t.Errorf("%s: %v without an owner, want %v to %v; %v\n%s", c.name, gap, c.from, c.to, w.violation, w.traces())
		}
	}
}

// Adverts that come back to their sender are counted as loops and have no effect.
func TestReturnedAdvertsHaveNoEffect(t *testing.T) {
	t.Parallel()
	w := pair(t)
	before := transitions(w)
	w.net.hairpin = true
	w.run(w.now + time.Minute)
	if transitions(w) != before || w.stats.Rejected < 50 || w.violation != nil {
		t.Errorf("%d transitions, %d loops, %v", transitions(w)-before, w.stats.Rejected, w.violation)
	}
}

// Changing the password on one node after the other causes no transition.
func TestPasswordRotationHasNoEffect(t *testing.T) {
	t.Parallel()
	w := pair(t)
	before, rejected := transitions(w), w.stats.Rejected
	f := &fault{kind: faultRotate}
	w.rotate(f, w.groups[0])
	w.run(w.now + time.Minute)
	if transitions(w) != before || w.stats.Rejected != rejected || w.violation != nil {
		t.Errorf("%d transitions, %d rejected, %v", transitions(w)-before, w.stats.Rejected-rejected, w.violation)
	}
}
