// SPDX-License-Identifier: Apache-2.0

package election_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"vipd/agent/election"
)

// fastRate follows from retries and changes that are at least a millisecond apart.
const fastRate = 1010

// TestFastSegment is TestSegment in fast mode, with equal nodes, and in some runs with a node of advbase 1.
// The bound on two owners is the same: the flight of one advert, here a fraction of the interval.
func TestFastSegment(t *testing.T) {
	t.Parallel()
	witness := reasons{}
	life := func(t *rapid.T) {
		n := rapid.IntRange(2, 3).Draw(t, "nodes")
		w := &world{segment: newSegment(n, t.Fatalf), witness: witness, fast: true}
		w.maxRate = fastRate
		w.preempt = rapid.Bool().Draw(t, "preempt")
		dual := rapid.Bool().Draw(t, "dual stack")
		mixed := rapid.Bool().Draw(t, "mixed")
		for i, n := range w.nodes {
			n.cfg.Preempt, n.cfg.DualStack = w.preempt, dual
			n.cfg.AdvBase, n.cfg.AdvSkew = 0, rapid.SampledFrom([]uint8{10, 10, 11, 20, 30}).Draw(t, "skew")
			if mixed && i == 0 {
				n.cfg.AdvBase = 1
			}
			n.flight = 200 * time.Microsecond
			n.m = election.New(n.cfg, 0, 0)
			n.ask(election.Up{Reason: election.ReasonStartup})
		}
		w.advance(time.Duration(rapid.IntRange(0, 4000).Draw(t, "begun ms")) * time.Millisecond)
		t.Repeat(w.actions())
		w.recover(t)
	}
	witness.check(t, 2, life,
		election.ReasonMasterTimeout, election.ReasonBetterAdvert, election.ReasonEqualAdvert, election.ReasonDemoted,
		election.ReasonLeaseExpired, election.ReasonGoodbye, election.ReasonPreempt, election.ReasonYield)
}

// When the master dies at any moment, exactly one other node takes over: the better one if flights and
// wake-ups differ by less than half a step of the rank, after at most three intervals, its rank and half a
// step.
func TestFastFailover(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newSegment(rapid.IntRange(2, 4).Draw(t, "nodes"), t.Fatalf)
		s.maxRate = fastRate
		skew := rapid.IntRange(5, 40).Draw(t, "skew")
		for _, n := range s.nodes {
			n.cfg.AdvBase, n.cfg.AdvSkew = 0, uint8(skew)
			skew += rapid.IntRange(1, 20).Draw(t, "step")
			n.flight = time.Duration(rapid.IntRange(1, 500).Draw(t, "flight us")) * time.Microsecond
			n.lag = time.Duration(rapid.IntRange(0, 700).Draw(t, "lag us")) * time.Microsecond
			n.m = election.New(n.cfg, 0, 0)
			n.ask(election.Up{Reason: election.ReasonStartup})
		}
		s.advance(4*time.Second + time.Duration(rapid.IntRange(0, 1_000_000).Draw(t, "us"))*time.Microsecond)
		dead, heir := s.nodes[0], s.nodes[1]
		if !dead.answering() {
			t.Fatalf("the best one is not the master\n%s", s)
		}
		if rapid.Bool().Draw(t, "demoted") {
			dead.ask(election.Demotion{Total: 30})
			s.advance(10 * time.Millisecond)
		}
		dead.paused = true
		died := s.now
		stated := dead.recorded.Interval()
		for s.now.Sub(died) < 5*stated+2*time.Second {
			s.advance(time.Millisecond)
			for _, n := range s.nodes[1:] {
				if n.answering() && n != heir {
					t.Fatalf("%v: not the heir but node %d\n%s", s.time(), n.id, s)
				}
			}
		}
		took := heir.transitions[len(heir.transitions)-1]
		limit := 3*stated + election.Priority{AdvSkew: heir.cfg.AdvSkew}.Interval() + 4*time.Millisecond
		if took.To != election.Master || took.At.Sub(died) > limit || took.Reason != election.ReasonMasterTimeout {
			t.Fatalf("%v at %v after %v, limit %v\n%s", took.Reason, took.At.Sub(died), took.At, limit, s)
		}
		for _, n := range s.nodes[2:] {
			if got := len(n.transitions); got != 1 {
				t.Fatalf("node %d: %d transitions\n%s", n.id, got, s)
			}
		}
	})
}

// Of two or three equal nodes exactly one becomes master, within the cold start's wait.
func TestFastEquals(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newSegment(rapid.IntRange(2, 3).Draw(t, "nodes"), t.Fatalf)
		s.maxRate = fastRate
		skew := uint8(rapid.IntRange(2, 20).Draw(t, "skew"))
		for _, n := range s.nodes {
			n.cfg.NodeName = rapid.StringMatching("[a-z]{1,6}").Draw(t, "name") + n.cfg.NodeName
			n.cfg.AdvBase, n.cfg.AdvSkew = 0, skew
			n.flight = time.Duration(rapid.IntRange(1, 300).Draw(t, "flight us")) * time.Microsecond
			n.lag = time.Duration(rapid.IntRange(0, 500).Draw(t, "lag us")) * time.Microsecond
			n.m = election.New(n.cfg, 0, 0)
			n.ask(election.Up{Reason: election.ReasonStartup})
		}
		s.advance(4100 * time.Millisecond)
		before := 0
		for _, n := range s.nodes {
			before += len(n.transitions)
		}
		for range 100 {
			s.advance(5 * time.Millisecond)
			owners := 0
			for _, n := range s.nodes {
				if n.answering() {
					owners++
				}
			}
			if owners != 1 {
				t.Fatalf("%v: %d owners\n%s", s.time(), owners, s)
			}
		}
		for _, n := range s.nodes {
			before -= len(n.transitions)
		}
		if before != 0 {
			t.Fatalf("%d transitions more", -before)
		}
	})
}
