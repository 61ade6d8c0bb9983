// SPDX-License-Identifier: Apache-2.0

package model

import (
	"math/rand/v2"
	"testing"

	"vipd/agent/election"
	"vipd/loader/tables"
)

// TestSuperiorIsTheElections: kernel and agent compare alike, or one of them would yield where the other goes on.
// TestYieldRandom holds the program to the twin here; this holds the twin to the election's core, over random pairs,
// close ones, and every pair of intervals that are equal or next to each other.
func TestSuperiorIsTheElections(t *testing.T) {
	check := func(theirs, mine tables.Priority, aware bool) {
		if got, want := superior(theirs, mine, aware), election.Superior(
			election.Priority(theirs),
			election.Priority(mine),
			aware,
		); got != want {
			t.Fatalf("%+v against %+v, aware %v: %v here, %v in the election", theirs, mine, aware, got, want)
		}
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	anything := func() tables.Priority {
		v := rng.Uint32()
		return prio(uint8(v), uint8(v>>8), uint8(v>>16))
	}
	for range 2_000_000 {
		theirs, mine := anything(), anything()
		check(theirs, mine, rng.IntN(2) == 0)
		mine.AdvBase, mine.AdvSkew = theirs.AdvBase+uint8(rng.IntN(3))-1, theirs.AdvSkew+uint8(rng.IntN(3))-1
		check(theirs, mine, rng.IntN(2) == 0)
	}
	for base := range 256 {
		for skew := range 256 {
			theirs := prio(uint8(base), uint8(skew), 7)
			for _, mine := range []tables.Priority{
				prio(uint8(base), uint8(skew), 7),
				prio(uint8(base), uint8(skew+1), 7),
				prio(uint8(base), uint8(skew-1), 6),
				prio(uint8(base+1), 0, 8),
				prio(uint8(base-1), 255, 7),
				prio(255, 255, 0),
			} {
				check(theirs, mine, false)
				check(theirs, mine, true)
			}
		}
	}
}
