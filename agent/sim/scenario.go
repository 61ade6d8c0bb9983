// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"time"

	"vipd/agent/election"
	"vipd/agent/wire"
)

// Scenario says all that a run depends on. The zero value of a field is a working one,
// except for Hosts and Groups.
type Scenario struct {
	Seed   uint64
	Hosts  int // on one segment
	Groups int // on every host, at most 255

	AdvBase    uint8
	Skews      Skews
	Preempt    bool
	Seals      Seals
	SendDemote bool

	Latency time.Duration // at most, of a frame that no fault delays
	Lag     time.Duration // at most, until an agent wakes up; drawn for each host
	Drift   int           // of clocks, at most, in parts per million

	Rounds int           // of chaos and repair; 0: the world is only watched for Chaos
	Chaos  time.Duration // of each round
	Pace   time.Duration // between faults, on average
	Faults FaultSet

	// Of mixed runs, see Mixed.
	Peer       Peer              // what the last host is
	Families   Families          // of every group
	MasterDown election.DownRule // of the vipd nodes
	Slow       bool              // a stalled send may as well be a host slow to take addresses
	Adopt      bool              // an agent that is started again goes on with what is pinned

	Known Known // open findings that must not hide others
	Hooks Hooks
}

// Known are findings that are open: a run that is told of them goes around them, so that
// it can find the next one. Without, it fails on them.
type Known uint8

// The open findings; testdata/open.txt has seeds of each.
const (
	// KnownAware: the first advert of a demoted vipd node looks as if an OpenBSD node had
	// sent it, since its counter was not yet seen to change. Seals tell at once: only vipd
	// nodes without any show it, and every release seals. Around it: two adverts with the
	// same counter are asked for.
	KnownAware Known = 1 << iota

	// KnownAll are all of them.
	KnownAll = KnownAware
)

// Skews says how advskews are dealt out.
type Skews uint8

// The ways to deal out advskews.
const (
	SkewsEqual  Skews = iota // all alike
	SkewsSpread              // as different as can be, another order in each group
	SkewsRandom
)

// Seals says which hosts send sealed adverts and check them.
type Seals uint8

// Who seals.
const (
	SealsNone Seals = iota
	SealsSome       // every other host
	SealsAll
)

// Hooks break a node on purpose, to see that it is found. Each is nil in a sound run.
type Hooks struct {
	// Advert alters what a node states, after its own data plane was told the truth.
	Advert func(a wire.Advert, advskew uint8, demotion int) wire.Advert
	// NeverYield takes the yield out of the data plane.
	NeverYield bool
	// Lease replaces the end of a lease that is granted now.
	Lease func(now, lease election.Instant) election.Instant
}

// Result is what came of a run.
type Result struct {
	Hash      uint64 // of everything that happened, in order
	Virtual   time.Duration
	Stats     Stats
	Violation *Violation // nil: every invariant held
}

func (w *World) skew(host, group int, config *stream) uint8 {
	switch w.Skews {
	case SkewsSpread:
		rank := (host + group) % w.Hosts
		if w.Hosts > election.MaxSkew && rank > 0 {
			return uint8(1 + (rank-1)%election.MaxSkew) // one best
		}
		return uint8(rank * (election.MaxSkew / max(w.Hosts-1, 1)))
	case SkewsRandom:
		return oneOf[uint8](config, 0, 0, 1, 50, 100, 254)
	default:
		return 0
	}
}

// Random is a small scenario that follows from the seed: a few hosts, some of the faults,
// two or three rounds.
func Random(seed uint64) Scenario {
	c := newStream(seed, "scenario")
	s := Scenario{
		Seed: seed, Hosts: oneOf(c, 2, 2, 3, 3, 4, 5, 8), Groups: oneOf(c, 1, 1, 2, 3),
		AdvBase: oneOf[uint8](c, 1, 1, 1, 1, 2, 3), Skews: oneOf(c, SkewsEqual, SkewsSpread, SkewsRandom),
		Preempt: c.chance(600), SendDemote: c.chance(800),
		Latency: oneOf(c, 200*time.Microsecond, time.Millisecond, 2*time.Millisecond),
		Lag:     oneOf(c, 0, 100*time.Microsecond, 5*time.Millisecond, 20*time.Millisecond),
		Drift:   oneOf(c, 0, 50, 500),
		Rounds:  1 + c.below(3), Chaos: c.between(5*time.Second, time.Minute),
		Pace: oneOf(c, 300*time.Millisecond, time.Second, 4*time.Second),
	}
	gentle := c.chance(400)
	for kind := range faultKinds {
		// Drawn for every kind, so that a new one does not change the choice of the others.
		if c.chance(400) && (!gentle || kind.gentle()) {
			s.Faults |= 1 << kind
		}
	}
	s.Seals = oneOf(newStream(seed, "seals"), SealsNone, SealsSome, SealsAll)
	if s.Faults == 0 {
		s.Faults = 1<<faultCrash | 1<<faultPause
	}
	return s
}

// Around is s with the open findings out of the way.
func (s Scenario) Around(known Known) Scenario {
	s.Known = known
	return s
}

// Fast is s in fast mode, advbase 0, on a segment and hosts that are fit for it.
func (s Scenario) Fast() Scenario {
	s.AdvBase, s.Latency, s.Lag = 0, 200*time.Microsecond, 0
	s.Faults &^= 1 << faultBase
	if s.Skews == SkewsRandom {
		s.Skews = SkewsEqual
	}
	return s
}

// Mixed is s on a segment that is not all vipd and IPv4: the last host may be a BSD or
// ucarp, groups have addresses of either family or of both, some wait as OpenBSD does, and
// agents that are started again adopt what is pinned. All of it follows from the seed.
func (s Scenario) Mixed() Scenario {
	c := newStream(s.Seed, "mixed")
	s.Peer = oneOf(c, PeerNone, PeerFreeBSD, PeerOpenBSD, PeerUCARP)
	s.Families = oneOf(c, FamilyIPv4, FamilyIPv6, FamilyDual)
	s.MasterDown = oneOf(c, election.DownFreeBSD, election.DownOpenBSD)
	s.Adopt, s.Slow = c.chance(600), c.chance(500)
	if s.Peer == PeerUCARP {
		s.Families = FamilyIPv4 // it knows no other
	}
	if s.Peer == PeerOpenBSD && s.Hosts > 2 {
		s.SendDemote = false // docs/divergences.md: of three, two that obey the byte go in a circle
	}
	return s
}

// Run simulates s.
func (s Scenario) Run() Result {
	w := newWorld(s, false)
	return w.live()
}

// Explain runs s again and tells the story of its end: the last events of every host.
func (s Scenario) Explain() string {
	w := newWorld(s, true)
	r := w.live()
	verdict := "every invariant held"
	if r.Violation != nil {
		verdict = r.Violation.String()
	}
	return fmt.Sprintf("%ssegment: %v\nseed %d, hash %016x, faults %v\n%s\n", w.story(), &w.net, s.Seed, r.Hash, s.Faults, verdict)
}

func (w *World) live() Result {
	for _, h := range w.hosts {
		// Machines of one rack come up together, but not in the same microsecond.
		w.at(w.clocks.between(0, 10*time.Millisecond), func() { w.boot(h) })
	}
	w.at(0, w.audit)
	if w.Rounds == 0 {
		w.run(w.Chaos)
	}
	for round := 0; round < w.Rounds && w.violation == nil; round++ {
		w.round()
	}
	return Result{Hash: w.hash.sum(), Virtual: w.now, Stats: w.stats, Violation: w.violation}
}

// round is chaos, repair, and the proof that nothing stuck.
func (w *World) round() {
	end := w.now + w.Chaos
	w.strike(end)
	w.run(end)
	w.heal()
	// The longest: a tie of equals or two, each a down time and half an interval, the
	// extension of an agent that was late, and a better one's turn.
	// A hold that ends within that time leaves as long again for what it held up.
	w.run(max(w.now, w.held()) + w.settling())
	if end := w.held(); end > w.now {
		w.run(end + w.settling())
	}
	w.settled = w.now
	w.run(w.now + 10*time.Second)
	w.settled = 0
}

func (w *World) settling() time.Duration {
	wait := 3*time.Duration(w.AdvBase) + 1
	if w.MasterDown == election.DownOpenBSD || w.Peer == PeerOpenBSD {
		wait += 2
	}
	return 8 * wait * time.Second
}

// held is until when a member at most does not preempt, since its sends failed, or waits
// for the master whose interval was forged, which is believed in fast mode.
func (w *World) held() (end time.Duration) {
	for _, h := range w.hosts {
		if h.peer != PeerNone {
			continue
		}
		for _, m := range h.members {
			v := m.machine.View()
			if v.Hold == election.HoldSendFailed {
				end = max(end, h.clock.when(v.HoldUntil, w.now))
			}
			if m.cfg.AdvBase == 0 && m.group.forged > 0 && v.DownTime > w.settling()/2 {
				end = max(end, w.now+v.DownTime)
			}
		}
	}
	return end
}
