// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"testing"

	"vipd/agent/election"
	"vipd/agent/sim"
)

// TestMixedSeeds runs seeds that failed earlier on a mixed segment.
func TestMixedSeeds(t *testing.T) {
	t.Parallel()
	for _, words := range lines(t, "mixed.txt") {
		seed := number(t, words[0])
		if r := scenario(seed, sim.KnownAll, true, false).Run(); r.Violation != nil {
			failSeed(t, seed, sim.KnownAll, true, false, r)
		}
	}
}

// TestMixedSegmentsHoldInvariants runs the first seeds and checks that they include every kind of peer, family,
// timer and restart.
func TestMixedSegmentsHoldInvariants(t *testing.T) {
	t.Parallel()
	type kind struct {
		peer     sim.Peer
		families sim.Families
	}
	kinds, rules := map[kind]int{}, map[election.DownRule]int{}
	var sum sim.Stats
	for seed := range uint64(150) {
		s := scenario(seed+1, sim.KnownAll, true, false)
		r := s.Run()
		if r.Violation != nil {
			failSeed(t, seed+1, sim.KnownAll, true, false, r)
		}
		kinds[kind{s.Peer, s.Families}]++
		rules[s.MasterDown]++
		sum.Add(r.Stats)
	}
	for peer := sim.PeerNone; peer <= sim.PeerUCARP; peer++ {
		for families := sim.FamilyIPv4; families <= sim.FamilyDual; families++ {
			if kinds[kind{peer, families}] == 0 && (peer != sim.PeerUCARP || families == sim.FamilyIPv4) {
				t.Errorf("no %v with families %d", peer, families)
			}
		}
	}
	if len(rules) != 2 || sum.PeerTransitions == 0 || sum.AdoptedMaster == 0 || sum.Adopted <= sum.AdoptedMaster {
		t.Errorf("rules %v, %d transitions of peers, %d adoptions, %d of them as MASTER",
			rules, sum.PeerTransitions, sum.Adopted, sum.AdoptedMaster)
	}
}
