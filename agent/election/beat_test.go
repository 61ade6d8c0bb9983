// SPDX-License-Identifier: Apache-2.0

package election_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"vipd/agent/election"
)

// An advert's interval is its beat, which is compared with nothing.
func TestAdvertInterval(t *testing.T) {
	t.Parallel()
	a := election.Advert{Priority: election.Priority{AdvBase: 1, AdvSkew: 128}}
	if got := a.Interval(); got != 1500*time.Millisecond {
		t.Errorf("without a beat: %v", got)
	}
	a.Beat = 5 * time.Millisecond
	if got := a.Interval(); got != a.Beat {
		t.Errorf("with a beat: %v", got)
	}
	if worse := (election.Priority{AdvBase: 1, AdvSkew: 127}); election.Superior(a.Priority, worse, false) {
		t.Error("the beat makes an advert superior")
	}
}

// beatRate follows from the shortest beat of the tests, and from retries after a tenth of it.
const beatRate = 1010

// TestBeatSegment is TestSegment with beats, which some of the nodes have and which reloads change. The bound on two
// owners is the same: the flight of one advert, here a fraction of the beat.
func TestBeatSegment(t *testing.T) {
	t.Parallel()
	witness := reasons{}
	life := func(t *rapid.T) {
		n := rapid.IntRange(2, 3).Draw(t, "nodes")
		w := &world{segment: newSegment(n, t.Fatalf), witness: witness, fast: true, beats: true}
		w.maxRate = beatRate
		w.preempt = rapid.Bool().Draw(t, "preempt")
		dual := rapid.Bool().Draw(t, "dual stack")
		for _, n := range w.nodes {
			n.cfg.Preempt, n.cfg.DualStack = w.preempt, dual
			n.cfg.AdvSkew = rapid.SampledFrom([]uint8{10, 10, 40, 70}).Draw(t, "skew")
			n.cfg.Beat = someBeat(t)
			n.flight = 200 * time.Microsecond
			n.m = election.New(n.cfg, 0, 0)
			n.ask(election.Up{Reason: election.ReasonStartup})
		}
		w.advance(time.Duration(rapid.IntRange(0, 4000).Draw(t, "begun ms")) * time.Millisecond)
		t.Repeat(w.actions())
		w.recover(t)
	}
	witness.check(t, 1, life,
		election.ReasonMasterTimeout, election.ReasonBetterAdvert, election.ReasonEqualAdvert, election.ReasonDemoted,
		election.ReasonLeaseExpired, election.ReasonGoodbye, election.ReasonPreempt, election.ReasonYield)
}

// When a master with a beat dies at any moment, the better one of the others takes over after at most three beats, its
// rank and half a step, whatever beat it has itself, if flights and wake-ups differ by less than the ranks.
func TestBeatFailover(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newSegment(rapid.IntRange(2, 4).Draw(t, "nodes"), t.Fatalf)
		s.maxRate = beatRate
		skew := rapid.IntRange(0, 40).Draw(t, "skew")
		for _, n := range s.nodes {
			n.cfg.AdvSkew = uint8(skew)
			skew += rapid.IntRange(50, 70).Draw(t, "step")
			n.cfg.Beat = someBeat(t)
			n.flight = time.Duration(rapid.IntRange(1, 400).Draw(t, "flight us")) * time.Microsecond
			n.lag = time.Duration(rapid.IntRange(0, 300).Draw(t, "lag us")) * time.Microsecond
		}
		s.nodes[0].cfg.Beat = time.Duration(rapid.IntRange(4, 30).Draw(t, "ms")) * time.Millisecond
		for _, n := range s.nodes {
			n.m = election.New(n.cfg, 0, 0)
			n.ask(election.Up{Reason: election.ReasonStartup})
		}
		s.advance(4*time.Second + time.Duration(rapid.IntRange(0, 1_000_000).Draw(t, "us"))*time.Microsecond)
		dead, heir := s.nodes[0], s.nodes[1]
		if !dead.answering() {
			t.Fatalf("the best one is not the master\n%s", s)
		}
		dead.paused = true
		died, beat := s.now, dead.cfg.Beat
		s.advance(time.Second)
		took := heir.transitions[len(heir.transitions)-1]
		limit := 3*beat + beat*time.Duration(heir.cfg.AdvSkew+1)/256 + time.Millisecond
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
