// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"time"

	"vipd/agent/election"
)

// A host may be able to send in only one of two families. Either a source address is missing, which the agent knows
// before it sends, or the kernel refuses the frames of a family, which the agent learns by sending.

// sourceDemotion and sendErrDemotion are as in the agent.
const (
	sourceDemotion  = 240
	sendErrDemotion = 240
)

// halfFaults have their own stream, so that other runs do not change.
const halfFaults = FaultSet(1<<faultSource | 1<<faultRefuse)

// strikeHalves starts half faults until the given time.
func (w *World) strikeHalves(until time.Duration) {
	if w.Faults&halfFaults == 0 {
		return
	}
	w.recur(w.halves, 2*max(w.Pace, time.Second), until, func() {
		k := faultSource
		if w.Faults&(1<<k) == 0 || w.Faults&(1<<faultRefuse) != 0 && w.halves.chance(500) {
			k = faultRefuse
		}
		w.beginHalf(k)
	})
}

func (w *World) beginHalf(k faultKind) {
	f := &fault{kind: k}
	h := w.hosts[w.halves.below(len(w.hosts))]
	half := &h.halves[oneOf(w.halves, w.families()...)]
	duration := w.halves.between(0, oneOf(w.halves, 50*time.Millisecond, time.Second, 5*time.Second, 30*time.Second))
	if !h.up || h.peer != PeerNone {
		return
	}
	count := &half.lost
	if k == faultRefuse {
		count = &half.refused
	}
	*count++
	w.changeHalf(h)
	f.what = fmt.Sprintf("%s, %v", h.name, h.halves)
	f.end = func() { *count--; w.changeHalf(h) }
	w.started(f, duration)
}

// changeHalf follows a change of the families that h can send in.
func (w *World) changeHalf(h *host) {
	w.unwell(h)
	w.sync(h)
	for _, m := range h.members {
		w.check(m.group)
	}
}

// half counts the active faults of one family on a host.
type half struct{ lost, refused int }

// families returns the indexes of the run's families.
func (w *World) families() []int {
	switch w.Families {
	case FamilyIPv6:
		return []int{1}
	case FamilyDual:
		return []int{0, 1}
	default:
		return []int{0}
	}
}

// reach returns what the agent knows about its reach.
func (w *World) reach(h *host) (r election.Reach) {
	r.Mute = true
	for _, f := range w.families() {
		if h.halves[f].lost > 0 {
			r.Impaired = true
		} else {
			r.Mute = false
		}
	}
	return r
}

// whole reports whether no family of the host has a fault.
func (w *World) whole(h *host) bool {
	for _, f := range w.families() {
		if h.halves[f] != (half{}) {
			return false
		}
	}
	return true
}

// speechless reports whether no family of the host can send.
func (w *World) speechless(h *host) bool {
	for _, f := range w.families() {
		if h.halves[f] == (half{}) {
			return false
		}
	}
	return true
}

// noteSend counts send errors as the agent does.
func (w *World) noteSend(m *member, act election.SendAdvert, out outcome) {
	if out.tried {
		m.errors.Sent(m.host.clock.local(w.now), act, out.ok, out.partial)
	}
}

// total returns the sum of a host's demotions.
func (w *World) total(h *host) int {
	sum := h.demotion
	if w.reach(h).Impaired {
		sum += sourceDemotion
	}
	for _, m := range h.members {
		if m.errors.Demoted() {
			sum += sendErrDemotion
		}
	}
	return sum
}

// updateHalves passes changes of reach and demotion to the machines, as the agent does after every iteration.
func (w *World) updateHalves(h *host) {
	if h.peer != PeerNone || !h.running() {
		return
	}
	for _, m := range h.members {
		m.errors.Look(h.clock.local(w.now), m.machine.View().State)
	}
	for _, m := range h.members {
		r := w.reach(h)
		r.Impaired = r.Impaired || m.errors.Partly()
		if r != m.reach && h.running() {
			m.reach = r
			w.ask(m, r)
		}
	}
	if total := w.total(h); total != h.told {
		h.told = total
		for _, m := range h.members {
			w.ask(m, election.Demotion{Total: total})
		}
	}
}

// checkHalves checks that a healthy member owns, no later than it would replace a dead master: a half-broken owner is
// never worse than none.
func (w *World) checkHalves(g *group) {
	owner := (*member)(nil)
	for _, m := range g.masters {
		if w.answering(m) {
			if w.whole(m.host) {
				g.halfSince = 0
				return
			}
			owner = m
		}
	}
	if owner == nil {
		g.halfSince = 0 // a gap, which checkGap checks
		return
	}
	if g.halfSince == 0 {
		g.halfSince = w.now
	}
	if !w.well(owner) {
		return
	}
	for _, m := range g.members {
		if !w.well(m) || !w.whole(m.host) || m.errors.Partly() {
			continue // on probation: it cannot know that its frames are accepted again
		}
		since := max(g.halfSince, m.healthy, owner.healthy, g.disturbed)
		limit := down(m.cfg) + longest(owner.cfg) + m.host.latency() + owner.host.latency() + w.net.flight + auditEvery
		if w.now-since > limit {
			w.fail(owner, "half",
				"owns with a broken family (%v) since %v although %s is healthy since %v: more than %v\n%+v\n%+v",
				owner.host.halves, g.halfSince, m.host.name, since, limit, owner.machine.View(), m.machine.View())
			return
		}
	}
}

// well reports whether a member can work, apart from its families.
func (w *World) well(m *member) bool {
	h := m.host
	return h.running() && h.link && m.wanted && h.starved+h.failing+h.stalling == 0 && h.busy.by == 0
}
