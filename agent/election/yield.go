// SPDX-License-Identifier: Apache-2.0

package election

import "time"

// challenge handles an advert received as MASTER.
func (m *Machine) challenge(a Advert, out []Action) []Action {
	s := &m.master
	fenced := a.Yielded && a.Generation == m.generation
	beaten := Superior(a.Priority, s.recorded, a.Aware)
	if m.phase == phaseLeaving || m.phase == phaseEnding {
		if fenced || beaten {
			return m.released(&a, a.At, out)
		}
		return out
	}
	// Without a lease the kernel yields to every advert, and so does the machine, unless the advert is
	// older than our last one.
	outlived := m.phase != phaseClaiming && a.At >= max(s.lease, s.sendUntil) ||
		m.phase == phaseExpired && a.At > s.lastSent
	judged := a.At <= s.judged // the kernel has already decided on it
	if !fenced && (!beaten || judged) && !outlived {
		if a.At >= m.since {
			s.rival, s.rivalAt = true, max(s.rivalAt, a.At)
		}
		return out
	}
	reason := m.yieldReason(a, beaten && !outlived)
	var tie time.Duration
	if beaten && tied(a.Priority, s.recorded, a.Aware) {
		tie = tieDelay(m.tieRange(a), m.cfg.NodeName, a.Src, m.generation)
	}
	return m.stepDown(reason, &a, a.At, tie, out)
}

func (m *Machine) yieldReason(a Advert, beaten bool) Reason {
	undemoted := m.cfg.Effective(0)
	switch {
	case !beaten:
		return ReasonLeaseExpired
	case m.handover.byOperator():
		return ReasonYield
	case m.effective != undemoted && !Superior(a.Priority, undemoted, a.Aware):
		return ReasonDemoted
	case tied(a.Priority, m.master.recorded, a.Aware):
		return ReasonEqualAdvert
	default:
		return ReasonBetterAdvert
	}
}

// yielded handles a yield of the kernel that no advert explains.
func (m *Machine) yielded(generation uint64, out []Action) []Action {
	if m.state != Master || generation < m.generation {
		return out
	}
	if m.phase == phaseLeaving || m.phase == phaseEnding {
		return m.released(nil, m.now, out)
	}
	reason := ReasonBetterAdvert
	if m.handover.byOperator() {
		reason = ReasonYield
	}
	if m.now >= max(m.master.lease, m.master.sendUntil) {
		reason = ReasonLeaseExpired
	}
	return m.stepDown(reason, nil, m.now, 0, out)
}

// stepDown leaves MASTER for BACKUP, first in the kernel. Adverts count as evidence from the causing one
// on, since later ones of the same batch are still to come.
func (m *Machine) stepDown(reason Reason, cause *Advert, due Instant, tie time.Duration, out []Action) []Action {
	from := m.now
	if cause != nil {
		from = cause.At
	}
	given, term := m.handover, m.master
	out = append(out, SetRole{State: Backup, Generation: m.generation}, RemoveVIPs{})
	out = m.enter(Backup, reason, cause, due, out)
	if reason == ReasonSendFailed {
		m.sendFailed(&term)
		return out
	}
	m.await(from, tie)
	if given.byOperator() {
		m.holdFor(cause)
	}
	return out
}

// sendFailed begins BACKUP, or continues it, after a term as MASTER that ended because adverts could not be sent.
func (m *Machine) sendFailed(term *master) {
	switch {
	case term.lease > 0:
		m.awaitOthers(&term.sends)
	case term.lastSent == 0:
		m.awaitAgain()
	default: // a part of a claim was sent, and may have deposed an owner
		m.await(m.now, 0)
	}
	m.noteSendFailed()
}
