// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"net/netip"
	"time"

	"vipd/agent/election"
	"vipd/agent/wire"
)

// Scenario contains everything that a run depends on. The zero value of each field is valid, except for
// Hosts and Groups.
type Scenario struct {
	Seed   uint64
	Hosts  int // on one segment
	Groups int // on every host, at most 255

	AdvBase    uint8
	Skews      Skews
	Preempt    bool
	Trailers   Trailers
	SendDemote bool
	PeerMemory time.Duration // how long a silent peer has to prove itself again; 0: for ever

	Latency time.Duration // maximum for a frame that no fault delays
	Lag     time.Duration // maximum until an agent wakes up, drawn per host
	Drift   int           // maximum of clocks, in parts per million

	Beat time.Duration // of most nodes; 0: no node has one

	Course
	Mixture

	Known Known // open findings to avoid
	Hooks Hooks
}

// Course is when faults happen.
type Course struct {
	Rounds int           // of chaos and repair; 0: a run of length Chaos without faults
	Chaos  time.Duration // of each round
	Pace   time.Duration // between faults, on average
	Faults FaultSet
}

// Mixture is what differs in mixed runs, see [Scenario.Mixed].
type Mixture struct {
	Peer       Peer              // kind of the last host
	Families   Families          // of every group
	MasterDown election.DownRule // of the vipd nodes
	Slow       bool              // a stalled send may also be a host that adds addresses slowly
	Adopt      bool              // a restarted agent adopts the pinned data plane
}

// Known is a set of open findings. A run avoids them, so that it can find others; without it, it fails on them.
type Known uint8

// The open findings; testdata/open.txt has seeds of each.
const (
	// KnownAware: the first advert of a demoted vipd node looks like one of OpenBSD, since its counter has not
	// changed yet. A trailer shows the difference at once, and every release sends them. To avoid it, a run requires
	// two adverts with the same counter.
	KnownAware Known = 1 << iota

	// KnownAll contains all of them.
	KnownAll = KnownAware
)

// Skews is the distribution of advskews.
type Skews uint8

// Distributions of advskews.
const (
	SkewsEqual  Skews = iota // all equal
	SkewsSpread              // as different as possible, in another order per group
	SkewsRandom
)

// Trailers is what vipd nodes do about trailers.
type Trailers uint8

// Choices of Trailers.
const (
	TrailersOff      Trailers = iota // neither sent nor checked: CARP as the BSDs have it
	TrailersSent                     // sent and checked; peers without one are heard, too
	TrailersRequired                 // require_trailer
)

// Hooks break a node on purpose, to test that the bug is found. A normal run has none.
type Hooks struct {
	// Advert changes an advert after its own data plane has stored the true one.
	Advert func(a wire.Advert, advskew uint8, demotion int) wire.Advert
	// NeverYield removes the yield from the data plane.
	NeverYield bool
	// Lease replaces the end of a new lease.
	Lease func(now, lease election.Instant) election.Instant

	// Without removes checks of trailers.
	Without Check
	// NeverRaise makes nodes ignore the numbers that they hear.
	NeverRaise bool
}

// Check is a set of checks of trailers, see docs/authentication.md.
type Check uint8

// Checks of trailers.
const (
	CheckRise     Check = 1 << iota // the numbers of a known peer rise
	CheckPace                       // and as fast as time does
	CheckPaceKept                   // what came late is no excuse for what comes later still
	CheckHighest                    // they are not below the highest number of the group
	CheckUnknown                    // nor is the first number of an unknown one
	CheckStripped                   // a peer that has proven itself is not believed without a trailer
	CheckOwn                        // nor is an own address
	CheckSource                     // the tag covers the source
)

func (h *Hooks) checks(c Check) bool { return h.Without&c == 0 }

// bound returns the source that a tag covers.
func (h *Hooks) bound(src netip.Addr) netip.Addr {
	if h.checks(CheckSource) {
		return src
	}
	return netip.IPv6Unspecified()
}

// Result is the result of a run.
type Result struct {
	Hash      uint64 // of all events in order
	Virtual   time.Duration
	Stats     Stats
	Violation *Violation // nil if all invariants held
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

// Random returns a small scenario that depends on the seed alone: a few hosts, some faults, one to three rounds.
func Random(seed uint64) Scenario {
	c := newStream(seed, "scenario")
	s := Scenario{
		Seed: seed, Hosts: oneOf(c, 2, 2, 3, 3, 4, 5, 8), Groups: oneOf(c, 1, 1, 2, 3),
		AdvBase: oneOf[uint8](c, 1, 1, 1, 1, 2, 3), Skews: oneOf(c, SkewsEqual, SkewsSpread, SkewsRandom),
		Preempt: c.chance(600), SendDemote: c.chance(800),
		Latency: oneOf(c, 200*time.Microsecond, time.Millisecond, 2*time.Millisecond),
		Lag:     oneOf(c, 0, 100*time.Microsecond, 5*time.Millisecond, 20*time.Millisecond),
		Drift:   oneOf(c, 0, 50, 500),
		Course: Course{
			Rounds: 1 + c.below(3), Chaos: c.between(5*time.Second, time.Minute),
			Pace: oneOf(c, 300*time.Millisecond, time.Second, 4*time.Second),
		},
	}
	gentle := c.chance(400)
	for kind := range faultKinds {
		// Drawn for every kind, so that a new kind does not change the choice of the others.
		if c.chance(400) && (!gentle || kind.gentle()) {
			s.Faults |= 1 << kind
		}
	}
	t := newStream(seed, "trailers")
	s.Trailers = oneOf(t, TrailersOff, TrailersSent, TrailersSent, TrailersRequired, TrailersRequired)
	s.PeerMemory = oneOf(t, 0, 24*time.Hour, 24*time.Hour, 10*time.Second)
	if s.Faults == 0 {
		s.Faults = 1<<faultCrash | 1<<faultPause
	}
	return s
}

// Around returns s with the open findings to avoid.
func (s Scenario) Around(known Known) Scenario {
	s.Known = known
	return s
}

// Fast returns s with advbase 0, on a segment and hosts that are fast enough.
func (s Scenario) Fast() Scenario {
	s.AdvBase, s.Latency, s.Lag = 0, 200*time.Microsecond, 0
	s.Faults &^= 1 << faultBase
	if s.Skews == SkewsRandom {
		s.Skews = SkewsEqual
	}
	return s
}

// Mixed returns s with a mixed segment: the last host may be a BSD or ucarp, groups have addresses of one
// family or both, nodes may use OpenBSD's timers, and restarted agents may adopt the pinned data plane. All
// of this depends on the seed.
func (s Scenario) Mixed() Scenario {
	c := newStream(s.Seed, "mixed")
	s.Peer = oneOf(c, PeerNone, PeerFreeBSD, PeerOpenBSD, PeerUCARP)
	s.Families = oneOf(c, FamilyIPv4, FamilyIPv6, FamilyDual)
	s.MasterDown = oneOf(c, election.DownFreeBSD, election.DownOpenBSD)
	s.Adopt, s.Slow = c.chance(600), c.chance(500)
	if s.Peer != PeerNone && s.Trailers == TrailersRequired {
		s.Trailers = TrailersSent // else it would not be heard
	}
	if s.Peer == PeerUCARP {
		s.Families = FamilyIPv4 // ucarp has no IPv6
	}
	if s.Peer == PeerOpenBSD && s.Hosts > 2 {
		s.SendDemote = false // docs/divergences.md: with three nodes, two that obey the byte alternate
	}
	return s
}

// Run simulates s.
func (s Scenario) Run() Result {
	w := newWorld(s, false)
	return w.live()
}

// Explain runs s again and returns the last events of every host and the result.
func (s Scenario) Explain() string {
	w := newWorld(s, true)
	r := w.live()
	verdict := "every invariant held"
	if r.Violation != nil {
		verdict = r.Violation.String()
	}
	return fmt.Sprintf("%ssegment: %v\nseed %d, hash %016x, faults %v\n%s\n",
		w.traces(), &w.net, s.Seed, r.Hash, s.Faults, verdict)
}

func (w *World) live() Result {
	for _, h := range w.hosts {
		// Machines of a rack start together, but not in the same microsecond.
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

// round has a time of faults, the repair, and the check that one owner remains.
func (w *World) round() {
	end := w.now + w.Chaos
	w.strike(end)
	w.strikeHalves(end)
	w.strikeTapes(end)
	w.strikeBeats(end)
	w.strikeClaims(end)
	w.strikeBusy(end)
	w.run(end)
	w.heal()
	// The longest case: one or two ties of equals, each a down time and half an interval, the extension of a late
	// agent, and the preemption by a better node. If a hold ends within that time, the same time follows.
	w.run(max(w.now, w.held()) + w.recoveryTime())
	if end := w.held(); end > w.now {
		w.run(end + w.recoveryTime())
	}
	w.stableSince = w.now
	w.run(w.now + 10*time.Second)
	w.stableSince = 0
}

// recoveryTime returns how long it takes at most until one owner remains.
func (w *World) recoveryTime() time.Duration {
	wait := 3*time.Duration(w.AdvBase) + 1
	if w.MasterDown == election.DownOpenBSD || w.Peer == PeerOpenBSD {
		wait += 2
	}
	return 8 * wait * time.Second
}

// held returns until when a member does not preempt because its sends failed, or waits for a master whose interval was
// forged, which fast mode cannot detect.
func (w *World) held() (end time.Duration) {
	for _, h := range w.hosts {
		if h.peer != PeerNone {
			continue
		}
		for _, m := range h.members {
			v := m.machine.View()
			if m.errors.Demoted() {
				end = max(end, h.clock.when(m.errors.Until(), w.now)+time.Second)
			}
			if v.Hold == election.HoldSendFailed {
				end = max(end, h.clock.when(v.HoldUntil, w.now))
			}
			if m.cfg.AdvBase == 0 && m.group.forged > 0 && v.DownTime > w.recoveryTime()/2 {
				end = max(end, w.now+v.DownTime)
			}
		}
	}
	return end
}
