// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"testing"
	"time"
)

// Equal nodes that start together have one lasting owner within 33 s.
func TestEqualNodesStartTogetherWithOneOwner(t *testing.T) {
	t.Parallel()
	const starts = 200
	for _, hosts := range []int{2, 3, 4, 8, 20} {
		t.Run(fmt.Sprint(hosts), func(t *testing.T) {
			t.Parallel()
			failed, latest := 0, time.Duration(0)
			for seed := range uint64(starts) {
				w := newWorld(Scenario{
					Seed: seed + 1, Hosts: hosts, Groups: 1, AdvBase: 1, Preempt: true, Latency: time.Millisecond,
					Trailers: TrailersRequired,
				}, false)
				for _, h := range w.hosts {
					w.at(w.clocks.between(0, 10*time.Millisecond), func() { w.boot(h) })
				}
				w.at(0, w.audit)
				w.run(33 * time.Second)
				w.stableSince = w.now
				w.run(43 * time.Second)
				if w.violation != nil {
					failed++
				}
				latest = max(latest, w.groups[0].moved)
			}
			t.Logf("%d of %d starts without a lasting owner after 33 s; the latest took %v", failed, starts, latest)
			if failed > 0 {
				t.Errorf("%d of %d cold starts without a lasting owner after 33 s", failed, starts)
			}
		})
	}
}
