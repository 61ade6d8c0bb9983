// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"testing"
	"time"

	"vipd/agent/election"
)

// provenPair returns two hosts that send and require trailers; the first is MASTER.
func provenPair(t *testing.T) *World {
	t.Helper()
	w := newWorld(Scenario{
		Seed: 1, Hosts: 2, Groups: 1, AdvBase: 1, Skews: SkewsSpread, Preempt: true, Latency: time.Millisecond,
		Trailers: TrailersRequired, Mixture: Mixture{Adopt: true},
	}, true)
	w.at(0, w.audit)
	for _, h := range w.hosts {
		w.at(0, func() { w.boot(h) })
	}
	w.run(10 * time.Second)
	if !w.answering(w.hosts[0].members[0]) || w.violation != nil {
		t.Fatalf("no start: %v\n%s", w.violation, w.traces())
	}
	return w
}

// A node that lost its number, with a clock that is also behind, is accepted again within a master-down
// time: without intervention the better node is the only owner.
func TestLostNumberRecoversAutomatically(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(w *World, better, other *host){
		"machine is away for long, the peer owns meanwhile": func(w *World, better, _ *host) {
			w.crash(better)
			w.run(w.now + 20*time.Second)
			better.forget()
			w.boot(better)
		},
		"machine is back before the peer takes over": func(w *World, better, _ *host) {
			w.crash(better)
			w.run(w.now + 500*time.Millisecond)
			better.forget()
			w.boot(better)
		},
		"daemon alone, adopted": func(w *World, better, _ *host) {
			w.killAgent(better)
			w.run(w.now + 500*time.Millisecond)
			better.forget()
			w.startAgent(better)
		},
		"both": func(w *World, better, other *host) {
			w.crash(better)
			w.crash(other)
			w.run(w.now + time.Second)
			better.forget()
			other.forget()
			w.boot(better)
			w.boot(other)
		},
		"daemons of both, adopted": func(w *World, better, other *host) {
			w.killAgent(better)
			w.killAgent(other)
			w.run(w.now + 500*time.Millisecond)
			better.forget()
			other.forget()
			w.startAgent(better)
			w.startAgent(other)
		},
		"it claims in a partition, before it heard anybody": func(w *World, better, _ *host) {
			w.crash(better)
			w.run(w.now + 10*time.Second)
			w.net.sides = []uint8{0, 1}
			w.net.update()
			better.forget()
			w.boot(better)
			w.run(w.now + 10*time.Second)
			w.net.sides = nil
			w.net.update()
			w.disturb(better.members[0])
		},
		"its clock alone is behind": func(w *World, better, _ *host) {
			w.crash(better)
			w.run(w.now + 20*time.Second)
			better.reserved, better.slow = 0, maxSlow
			w.boot(better)
		},
		"its clock is behind, and it owns in a partition": func(w *World, better, other *host) {
			w.crash(better)
			w.crash(other)
			w.net.sides = []uint8{0, 1}
			w.net.update()
			better.forget()
			w.boot(better)
			w.boot(other)
			w.run(w.now + 20*time.Second)
			w.net.sides = nil
			w.net.update()
			w.disturb(better.members[0])
		},
		"the worse node": func(w *World, better, other *host) {
			w.crash(better)
			w.run(w.now + 10*time.Second)
			w.boot(better)
			w.run(w.now + 10*time.Second)
			w.crash(other)
			other.forget()
			w.boot(other)
			w.run(w.now + 5*time.Second)
			w.crash(better)
			w.run(w.now + 10*time.Second) // other speaks, with new numbers
			w.boot(better)
		},
	} {
		w := provenPair(t)
		for _, h := range w.hosts {
			w.disturb(h.members[0])
		}
		better, other := w.hosts[0], w.hosts[1]
		lose(w, better, other)
		if w.violation != nil {
			t.Errorf("%s: %v\n%s", name, w.violation, w.traces())
			continue
		}
		// One master-down time after its first advert; the better node waits as long before that when it
		// hears no other. Numbers that rise, but not with time, are refused only after the tolerance.
		const tolerated = 6 * time.Second
		back := w.now
		w.run(back + down(better.members[0].cfg) + down(other.members[0].cfg) + tolerated)
		owners := 0
		for _, h := range w.hosts {
			if w.answering(h.members[0]) {
				owners++
			}
		}
		if owners != 1 || !w.answering(better.members[0]) || other.members[0].kernel.role.State != election.Backup {
			t.Errorf("%s: %d owners, %v and %v\n%s", name, owners, better.members[0].kernel.role, other.members[0].kernel.role,
				w.traces())
		}
		rejected, moved := w.stats.Rejected, transitions(w)
		w.run(w.now + 20*time.Second)
		if w.violation != nil || transitions(w) != moved || w.stats.Rejected != rejected {
			t.Errorf("%s: %d transitions afterwards, %d rejected, %v\n%s", name, transitions(w)-moved, w.stats.Rejected-rejected,
				w.violation, w.traces())
		}
	}
}
