// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"testing"
	"time"

	"vipd/agent/election"
	"vipd/agent/sim"
	"vipd/agent/wire"
)

// TestSimulatorFindsKnownBugs introduces known bugs: each must be found as a violation of the invariant that it breaks
// within a number of seeds.
func TestSimulatorFindsKnownBugs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		hooks      sim.Hooks
		invariants string
		seeds      uint64
	}{
		{
			// FreeBSD PR 259528: a negative sum of advskew and demotion wrapped on the wire. The node used the sum,
			// its peers the advert: two masters.
			name: "skew cut to a byte",
			hooks: sim.Hooks{Advert: func(a wire.Advert, advskew uint8, demotion int) wire.Advert {
				if sum := int(advskew) + demotion; sum < 0 && a.AdvBase != election.GoodbyeValue {
					a.AdvSkew = uint8(sum)
				}
				return a
			}},
			invariants: "overlap", seeds: 200,
		},
		{
			// A node whose clock is behind is never heard by one that has heard another.
			name: "numbers do not go on from those that were heard", hooks: sim.Hooks{NeverRaise: true},
			invariants: "heard", seeds: 200,
		},
		{
			name: "data plane does not yield", hooks: sim.Hooks{NeverYield: true},
			invariants: "overlap", seeds: 50,
		},
		{
			name: "lease of double length",
			hooks: sim.Hooks{Lease: func(now, lease election.Instant) election.Instant {
				return lease.Add(lease.Sub(now))
			}},
			invariants: "fence", seeds: 50,
		},
		{
			// The margin is for clocks with different rates: with 500 ppm each, 3 ms in 3 s.
			name: "lease without margin",
			hooks: sim.Hooks{Lease: func(now, lease election.Instant) election.Instant {
				return lease.Add(max(time.Millisecond, lease.Sub(now)/99))
			}},
			invariants: "fence", seeds: 1000,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for seed := range c.seeds {
				s := sim.Random(seed + 1).Around(sim.KnownAll)
				s.Hooks = c.hooks
				r := s.Run()
				if r.Violation == nil {
					continue
				}
				if r.Violation.Invariant == c.invariants {
					t.Logf("found by seed %d: %v", seed+1, r.Violation)
					return
				}
			}
			t.Errorf("not found within %d seeds", c.seeds)
		})
	}
}

// TestSimulatorFindsMissingChecks removes one check of trailers after the other: an attacker must find each of them
// within a number of seeds.
func TestSimulatorFindsMissingChecks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		check sim.Check
		seeds uint64
	}{
		{"numbers need not rise", sim.CheckRise, 50},
		{"numbers may be late", sim.CheckPace, 1000},
		{"lateness adds up", sim.CheckPaceKept, 1000},
		{"numbers may be below those of the group", sim.CheckHighest, 1000},
		{"the first number may be below those of the group", sim.CheckUnknown, 100},
		{"trailers can be taken off", sim.CheckStripped, 20},
		{"trailers can be taken off adverts that come back", sim.CheckOwn, 50},
		{"the tag does not cover the source", sim.CheckSource, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for seed := range c.seeds {
				s := sim.Random(seed + 1).Around(sim.KnownAll)
				s.Faults |= sim.Attacks
				s.Hooks.Without = c.check
				if r := s.Run(); r.Violation != nil && r.Violation.Invariant == "forgery" {
					t.Logf("%s: found by seed %d: %v", c.name, seed+1, r.Violation)
					return
				}
			}
			t.Errorf("not found within %d seeds", c.seeds)
		})
	}
}

// TestTrailersStopReplays lets an attacker replay captured adverts with other priorities and sources. Between nodes
// that require trailers, none is accepted; between nodes without trailers, some are.
func TestTrailersStopReplays(t *testing.T) {
	t.Parallel()
	forged := 0
	for seed := range uint64(40) {
		s := sim.Random(seed + 1).Around(sim.KnownAll)
		s.Chaos, s.Rounds, s.Pace = 30*time.Second, 1, time.Second
		s.Faults = sim.Attacks
		s.Trailers = sim.TrailersRequired
		r := s.Run()
		if r.Violation != nil {
			t.Errorf("seed %d: %v\n%s", s.Seed, r.Violation, s.Explain())
		}
		// Without other faults every host receives each advert at once.
		if r.Stats.Forged > 0 {
			t.Errorf("seed %d: %d forged or replayed adverts were accepted", s.Seed, r.Stats.Forged)
		}
		if r.Stats.Rejected == 0 {
			t.Errorf("seed %d: no attack took place", s.Seed)
		}
		s.Trailers = sim.TrailersOff
		forged += s.Run().Stats.Forged
	}
	if forged == 0 {
		t.Error("no replay was accepted without trailers either: the attack does not work")
	}
}
