// SPDX-License-Identifier: Apache-2.0

package election

// expire is for a MASTER that finds its lease over: it was stopped, starved or paused,
// and somebody may have taken over. It is silent until that is ruled out.
func (m *Machine) expire(out []Action) []Action {
	s := &m.master
	if m.heardSinceSent() {
		heard := m.heard
		return m.stepDown(ReasonLeaseExpired, &heard, s.lease, 0, out)
	}
	m.phase, m.extensions, s.inFlight = phaseExpired, 0, false
	s.resumeAt = m.now.Add(m.effective.Interval())
	return out
}

func (m *Machine) tickExpired(out []Action) []Action {
	s := &m.master
	if m.now < s.resumeAt {
		return out
	}
	if s.blind {
		// Somebody may have spoken unread. As a BACKUP it takes over again if nobody did.
		return m.stepDown(ReasonLeaseExpired, nil, s.resumeAt, 0, out)
	}
	if m.putOff(s.resumeAt, false) {
		s.resumeAt = m.now.Add(m.effective.Interval())
		return out
	}
	s.announcements, s.rival = max(s.announcements, 1), false
	return m.claim(out)
}

// heardSinceSent reports whether anybody advertised since we last did.
func (m *Machine) heardSinceSent() bool {
	return m.known && m.heard.At > m.master.lastSent
}
