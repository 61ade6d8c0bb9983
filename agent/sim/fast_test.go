// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"slices"
	"testing"

	"vipd/agent/sim"
)

// TestFastSeeds runs seeds that failed earlier in fast mode, advbase 0, some of them on a mixed segment.
func TestFastSeeds(t *testing.T) {
	t.Parallel()
	for _, words := range lines(t, "fast.txt") {
		s := sim.Random(number(t, words[0])).Around(sim.KnownAll).Fast()
		flags := "-sim.fast"
		if slices.Contains(words, "mixed") {
			s, flags = s.Mixed(), flags+" -sim.mixed"
		}
		if r := s.Run(); r.Violation != nil {
			t.Errorf("%v\nreplay with:\n\n\tgo test ./agent/sim -run '^TestSeed$' -count=1 -v %s -sim.seed=%d",
				r.Violation, flags, s.Seed)
		}
	}
}
