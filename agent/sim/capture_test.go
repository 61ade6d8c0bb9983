// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"
	"testing"
	"time"

	"vipd/agent/election"
)

// A node that has just started does not claim because of what an attacker kept, while the MASTER lives. It knows no
// peer, so the captures are authentic to it until it hears the MASTER.
func TestCapturesMoveNoNodeThatJustStarted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		advBase uint8
		preempt bool
		plays   func(w *World, from *member) // from is the member whose adverts were captured
	}{
		{"a goodbye", 1, false, func(w *World, from *member) { w.play(from, true) }},
		{"a goodbye after an advert of the same node", 1, false, func(w *World, from *member) {
			w.play(from, false)
			w.play(from, true)
		}},
		{"a worse advert", 1, true, func(w *World, from *member) { w.play(from, false) }},
		{"worse adverts", 1, true, func(w *World, from *member) {
			w.play(from, false)
			w.at(w.now+300*time.Millisecond, func() { w.play(from, false) })
		}},
		{"a fast advert, then silence", 0, false, func(w *World, from *member) { w.play(from, false) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(Scenario{
				Seed: 1, Hosts: 3, Groups: 1, AdvBase: c.advBase, Skews: SkewsSpread, Preempt: c.preempt,
				Latency: time.Millisecond, Trailers: TrailersRequired, Course: Course{Faults: 1 << faultTape},
			}, true)
			members := slices.SortedFunc(slices.Values(w.groups[0].members), func(a, b *member) int {
				return int(a.cfg.AdvSkew) - int(b.cfg.AdvSkew)
			})
			best, starts, gone := members[0], members[1], members[2]
			if c.advBase == 0 {
				best, gone = gone, best
			}
			for _, h := range w.hosts {
				h.slow = 0
			}
			w.at(0, w.audit)
			// The worst node was MASTER, and left.
			w.at(0, func() { w.boot(gone.host) })
			w.run(10 * time.Second)
			w.at(w.now, func() {
				gone.wanted, gone.releasing = false, true
				w.ask(gone, election.Release{Reason: election.ReasonDisabled})
			})
			w.run(20 * time.Second)
			w.crash(gone.host)
			w.at(w.now, func() { w.boot(best.host) })
			w.run(30 * time.Second)
			if !w.answering(best) || w.violation != nil {
				t.Fatalf("no start: %v\n%s", w.violation, w.traces())
			}
			// The MASTER has just spoken, and is demoted so that it speaks seldom.
			w.demote(best.host, election.MaxSkew)
			w.run(40 * time.Second)
			for last := best.sentAt; best.sentAt == last; {
				w.run(w.now + 10*time.Millisecond)
			}
			moved, taken := transitions(w), w.stats.First
			w.at(w.now, func() { w.boot(starts.host) })
			w.at(w.now+10*time.Millisecond, func() { c.plays(w, gone) })
			w.run(w.now + 1500*time.Millisecond)
			if w.stats.First == taken {
				t.Errorf("no capture was accepted: the attack does not work\n%s", w.traces())
			}
			if transitions(w) != moved+1 || starts.kernel.role.State != election.Backup || w.violation != nil {
				t.Errorf("%d transitions and %v, want BACKUP alone; %v\n%s",
					transitions(w)-moved, starts.kernel.role.State, w.violation, w.traces())
			}
		})
	}
}

// play injects the last advert that was captured from m, or its last goodbye.
func (w *World) play(m *member, goodbye bool) {
	for _, f := range slices.Backward(w.tape) {
		f.parse()
		if f.from == m && f.prio.Goodbye() == goodbye {
			w.inject(&frame{bytes: f.bytes, group: f.group, copied: f})
			return
		}
	}
	panic("nothing was captured")
}
