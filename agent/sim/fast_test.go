// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"testing"

	"vipd/agent/sim"
)

// TestFastSeeds runs seeds that failed earlier in fast mode, advbase 0.
func TestFastSeeds(t *testing.T) {
	t.Parallel()
	for _, words := range lines(t, "fast.txt") {
		s := sim.Random(number(t, words[0])).Around(sim.KnownAll).Fast()
		if r := s.Run(); r.Violation != nil {
			t.Errorf(
				"%v\nreplay with:\n\n\tgo test ./agent/sim -run '^TestSeed$' -count=1 -v -sim.fast -sim.seed=%d",
				r.Violation,
				s.Seed,
			)
		}
	}
}
