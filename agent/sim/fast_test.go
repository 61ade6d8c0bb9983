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
		replay(t, append(words, "fast"))
	}
}

// TestBeatSeeds runs seeds that failed earlier with beats, some of them in fast mode or on a mixed segment.
func TestBeatSeeds(t *testing.T) {
	t.Parallel()
	for _, words := range lines(t, "beat.txt") {
		replay(t, append(words, "beat"))
	}
}

// replay runs a seed, which is followed by the modes of the run.
func replay(t *testing.T, words []string) {
	t.Helper()
	s, flags := sim.Random(number(t, words[0])).Around(sim.KnownAll), ""
	for _, mode := range []struct {
		name  string
		apply func(sim.Scenario) sim.Scenario
	}{{"fast", sim.Scenario.Fast}, {"mixed", sim.Scenario.Mixed}, {"beat", sim.Scenario.Beating}} {
		if slices.Contains(words, mode.name) {
			s, flags = mode.apply(s), flags+" -sim."+mode.name
		}
	}
	if r := s.Run(); r.Violation != nil {
		t.Errorf("%v\nreplay with:\n\n\tgo test ./agent/sim -run '^TestSeed$' -count=1 -v%s -sim.seed=%d",
			r.Violation, flags, s.Seed)
	}
}
