// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"runtime"
	"sync"
	"testing"

	"vipd/agent/sim"
)

// TestSameSeedGivesSameRun is not parallel, since it changes GOMAXPROCS.
func TestSameSeedGivesSameRun(t *testing.T) {
	seeds := []uint64{1, 2, 3, 5, 8, 13, 21, 34}
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	var first []sim.Result
	for _, procs := range []int{1, 8} {
		runtime.GOMAXPROCS(procs)
		results := make([]sim.Result, len(seeds))
		var wg sync.WaitGroup
		for i, seed := range seeds {
			wg.Go(func() { results[i] = sim.Random(seed).Around(sim.KnownAll).Run() })
		}
		wg.Wait()
		if first == nil {
			first = results
			continue
		}
		for i, r := range results {
			if r.Hash != first[i].Hash || r.Stats != first[i].Stats {
				t.Errorf("seed %d: %016x %+v with one processor, %016x %+v with %d", seeds[i], first[i].Hash, first[i].Stats,
					r.Hash, r.Stats, procs)
			}
		}
	}
	seen := map[uint64]uint64{}
	for i, r := range first {
		if other, twice := seen[r.Hash]; twice {
			t.Errorf("seeds %d and %d are the same run", other, seeds[i])
		}
		seen[r.Hash] = seeds[i]
	}
}

// The trace that a failure prints is that of the same run.
func TestExplainRepeatsTheRun(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		s := sim.Random(seed + 1).Around(sim.KnownAll)
		if hash := s.Run().Hash; s.TracedHash() != hash {
			t.Errorf("seed %d: another run when traced", s.Seed)
		}
	}
}
