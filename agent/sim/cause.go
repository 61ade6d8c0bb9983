// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"time"

	"vipd/agent/election"
)

// patienceForLate returns how late a decision on a watched clock may be (I3).
func patienceForLate(c election.Config) time.Duration {
	if c.AdvBase == 0 {
		return interval(c)
	}
	return max(100*time.Millisecond, interval(c)/4)
}

// maxLate is how often a late decision is postponed, as visible from outside: the first of the machine's three
// extensions may be in the Tick that also dismisses an advert.
const maxLate = 2

// decided checks a transition when it is decided, against the state of the kernel.
func (w *World) decided(m *member, t election.Transition) {
	v := m.machine.View()
	if t.At != m.host.clock.local(w.now) || t.Lag < 0 || v.State != t.To || v.Reason != t.Reason {
		w.fail(m, "cause", "transition %+v contradicts time or view", t)
	}
	if why := w.uncaused(m, t, v); why != "" {
		w.fail(m, "cause", "%v -> %v %v without a cause: %s (advert %+v, seen %+v, lag %v)",
			t.From, t.To, t.Reason, why, t.Cause, m.kernel.record.Advert, t.Lag)
	}
	if t.To == election.Master && t.Reason == election.ReasonMasterTimeout && t.Cause == nil {
		w.fence(m)
		w.silenced(m, t)
	}
	switch {
	case t.To == election.Master:
		m.unsent.silence = t.Cause == nil
	case t.Reason == election.ReasonSendFailed:
		w.retried(m, t, v)
	}
	if t.Cause != nil {
		w.checkMoved(m, t.Cause.At, fmt.Sprintf("%v -> %v %v", t.From, t.To, t.Reason))
	}
	if t.To == election.Init {
		m.gaveUp = nil // it hears nothing of it
	}
	m.late, m.patience = 0, minDown(m.cfg)
}

// transition handles a transition that was carried out.
func (w *World) transition(m *member, t election.Transition) {
	m.transition++
	m.group.moved, m.group.movedBefore = w.now, m.group.moved
	w.stats.Transitions++
	if int(t.Reason) < len(w.stats.Reasons) {
		w.stats.Reasons[t.Reason]++
	}
	w.hash.add(hashTransition, uint64(m.id), uint64(t.From)<<16|uint64(t.To)<<8|uint64(t.Reason), uint64(t.At))
	if w.tracing {
		w.notef(m.host, m.group, "%v -> %v %v, lag %v", t.From, t.To, t.Reason, t.Lag)
	}
	if m.vips != (t.To == election.Master) || m.kernel.role.State != t.To {
		w.fail(m, "cause", "%v with role %v, addresses on the host: %v", t.To, m.kernel.role.State, m.vips)
	}
}

// minDown returns the shortest time that a member with this configuration waits for a master.
func minDown(c election.Config) time.Duration {
	if c.AdvBase == 0 {
		return 3 * interval(c)
	}
	return 3 * time.Duration(c.AdvBase) * time.Second
}

// uncaused returns what is missing for a transition, or "".
func (w *World) uncaused(m *member, t election.Transition, v election.View) string {
	k := &m.kernel
	patience, late := patienceForLate(m.cfg), t.Lag
	switch {
	case t.Cause == nil && m.inBeats(t.At.Add(-t.Lag)):
		patience = min(max(patience, k.record.Beat), m.unit(k.record.Beat))
	case m.cfg.AdvBase > 0:
		late -= w.watched(m.host)
	}
	if t.To == election.Master && late > patience && m.late < maxLate {
		return "decided on a clock that was not watched"
	}
	stale := t.Cause != nil && t.Cause.At < k.record.At
	switch t.Reason {
	case election.ReasonMasterTimeout:
		wait := min(m.patience, minDown(m.cfg))
		if m.cfg.AdvBase == 0 {
			wait = 3 * k.record.Interval() // fast mode follows the master
		}
		if k.record.Beat > 0 {
			wait = min(wait, 3*k.record.Beat)
		}
		if t.Cause == nil && k.known && !k.record.Goodbye() && t.At.Sub(k.record.At) < wait {
			return "an advert was heard within the down time"
		}
		if stale {
			return "not the newest advert"
		}
	case election.ReasonPreempt:
		if t.Cause == nil || stale || !m.cfg.Preempt || t.Cause.Priority.Interval() <= v.Effective.Interval() {
			return "no newest advert that is worse"
		}
	case election.ReasonGoodbye:
		if t.Cause == nil || stale || !t.Cause.Goodbye() {
			return "no newest advert that is a goodbye"
		}
	case election.ReasonDemoted:
		if t.Cause == nil || t.To == election.Master && (stale || !t.Cause.Aware || t.Cause.Demote == 0) {
			return "no demotion"
		}
	case election.ReasonBetterAdvert, election.ReasonEqualAdvert:
		if t.Cause == nil && k.yielded < v.Generation {
			return "the kernel has not yielded"
		}
		if t.Cause != nil && !t.Cause.Yielded && !election.Superior(t.Cause.Priority, k.priority, t.Cause.Aware) {
			return "not superior to what the kernel compares with"
		}
	case election.ReasonLeaseExpired:
		if k.yielded < v.Generation && t.Cause == nil {
			return "still answering"
		}
	case election.ReasonSendFailed:
		if !m.failed {
			return "the last send worked"
		}
	default:
		if !m.asked && !m.releasing {
			return "without a request"
		}
	}
	return ""
}
