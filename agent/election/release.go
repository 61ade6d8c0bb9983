// SPDX-License-Identifier: Apache-2.0

package election

// release begins a planned handover. Only an owner says goodbye: from anybody else it
// would make a third node take over from the true master.
func (m *Machine) release(reason Reason, out []Action) []Action {
	s := &m.master
	switch {
	case m.state == Init:
		m.restamp(reason)
		return append(out, Released{Reason: reason})
	case m.phase == phaseLeaving:
		s.leaving = reason
		return out
	case m.phase != phaseOwning && m.phase != phaseBowed || m.now >= s.lease:
		out = m.retire(reason, nil, m.now, out)
		return append(out, Released{Reason: reason})
	}
	said := m.phase == phaseBowed && (s.saidGoodbye || s.inFlight)
	out = m.endHandover(Init, reason, nil, out)
	m.phase = phaseLeaving
	s.leaving, s.leaveAt = reason, min(s.lease, m.now.Add(handoverTime))
	out = m.record(yieldToAnybody(), out)
	if said {
		return out
	}
	return m.bowOut(out)
}

func (m *Machine) bowOut(out []Action) []Action {
	s := &m.master
	s.inFlight = true
	s.nextSend = m.now.Add(m.retryTime())
	return append(out, SendAdvert{Priority: GoodbyePriority(), Goodbye: true})
}

func (m *Machine) tickLeaving(out []Action) []Action {
	s := &m.master
	switch {
	case m.now >= s.leaveAt:
		return m.released(nil, s.leaveAt, out)
	case !s.saidGoodbye && m.now >= s.nextSend:
		return m.bowOut(out)
	default:
		return out
	}
}

// released ends a handover: a successor spoke, or there is none to wait for.
func (m *Machine) released(cause *Advert, due Instant, out []Action) []Action {
	reason := m.master.leaving
	out = m.retire(reason, cause, due, out)
	return append(out, Released{Reason: reason})
}
