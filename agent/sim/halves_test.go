// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"testing"
	"time"

	"vipd/agent/election"
)

// TestHealthyNodeReplacesOneWithABrokenFamily breaks one family of one of two nodes, with and without preemption. The
// healthy node must own within a master-down time, with at most one gap; without a healthy node the other family is
// still served.
func TestHealthyNodeReplacesOneWithABrokenFamily(t *testing.T) {
	t.Parallel()
	lose := func(h *host) { h.halves[1].lost++ }
	refuse := func(h *host) { h.halves[1].refused++ }
	for _, c := range []struct {
		name   string
		breaks func(*host)
		before bool // before it joins the other, which owns
		first  bool // it starts first, broken, and the other one joins
		within time.Duration
		gap    time.Duration
	}{
		{name: "joins without a source", breaks: lose, before: true},
		{name: "joins with a kernel that refuses", breaks: refuse, before: true, gap: 10 * time.Millisecond},
		{name: "starts first without a source", breaks: lose, before: true, first: true, within: 3 * time.Second},
		{name: "starts first with a kernel that refuses", breaks: refuse, before: true, first: true, within: 3 * time.Second},
		{name: "loses its source as MASTER", breaks: lose, within: 10 * time.Millisecond},
		{name: "is refused as MASTER", breaks: refuse, within: 3 * time.Second},
	} {
		for _, preempt := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/preempt %v", c.name, preempt), func(t *testing.T) {
				t.Parallel()
				w := newWorld(Scenario{
					Seed: 1, Hosts: 2, Groups: 1, AdvBase: 1, Skews: SkewsSpread, Preempt: preempt,
					Latency: time.Millisecond, Mixture: Mixture{Families: FamilyDual}, Trailers: TrailersRequired,
				}, true)
				a, b := w.hosts[0], w.hosts[1]
				if c.before {
					c.breaks(a)
				}
				one, two := b, a
				if c.first || !c.before {
					one, two = a, b
				}
				w.at(0, w.audit)
				w.at(0, func() { w.boot(one) })
				w.run(10 * time.Second)
				w.stats.Gap = 0
				w.at(w.now, func() { w.boot(two) })
				broken := w.now
				if !c.before {
					w.run(20 * time.Second)
					w.at(w.now, func() { c.breaks(a); w.changeHalf(a) })
					broken = w.now
				}
				w.run(broken + c.within)
				w.run(w.now + 50*time.Millisecond)
				owner := func() string {
					for _, m := range w.groups[0].masters {
						if w.answering(m) {
							return m.host.name
						}
					}
					return "no node"
				}
				if got := owner(); got != b.name {
					t.Errorf("%s owns, want %s\n%s", got, b.name, w.traces())
				}
				moved := w.groups[0].moved
				w.run(w.now + 20*time.Second)
				if c.gap == 0 && w.groups[0].moved > moved {
					t.Errorf("something moved at %v, after %v\n%s", w.groups[0].moved, moved, w.traces())
				}
				if w.stats.Gap > c.gap {
					t.Errorf("a gap of %v, want at most %v\n%s", w.stats.Gap, c.gap, w.traces())
				}
				// The healthy one goes: the other serves what it can, and goes on doing it.
				w.at(w.now, func() { w.crash(b) })
				w.run(w.now + down(a.members[0].cfg) + interval(a.members[0].cfg))
				if got := owner(); got != a.name {
					t.Errorf("%s owns without a healthy node, want %s\n%s", got, a.name, w.traces())
				}
				w.stats.Gap = 0
				w.run(w.now + time.Minute)
				if got := owner(); got != a.name || w.stats.Gap > 0 {
					t.Errorf("%s owns a minute later, with a gap of %v\n%s", got, w.stats.Gap, w.traces())
				}
				// Whole again, it is as good as configured.
				w.at(w.now, func() { a.halves = [2]half{}; w.changeHalf(a) })
				w.run(w.now + 10*time.Second)
				if v := a.members[0].machine.View(); v.Impaired || v.Effective.AdvSkew != 0 || v.State != election.Master {
					t.Errorf("after the repair %+v\n%s", v, w.traces())
				}
				if w.violation != nil {
					t.Error(w.violation)
				}
			})
		}
	}
}
