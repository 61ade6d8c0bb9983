// SPDX-License-Identifier: Apache-2.0

package election

import "time"

// master is what a group in MASTER has said and owes.
type master struct {
	recorded  Priority // what the data plane compares with
	stated    Priority // of the last SendAdvert
	inFlight  bool     // its outcome is not known yet
	failing   bool     // the last send failed
	lease     Instant
	sendUntil Instant
	lastSent  Instant // T0 of the last successful send
	nextSend  Instant
	cap       time.Duration // D is no longer than this until the next transition; 0 = no cap

	announcements int     // owed, one with each successful send
	rival         bool    // a foreign master was heard
	rivalAt       Instant // last
	blind         bool    // adverts were refused unread since our last one
	adopted       bool    // another process put the addresses on the host
	judged        Instant // the kernel has judged what it heard up to then
	resumeAt      Instant // phaseExpired: claim again then

	leaving     Reason  // phaseLeaving: why
	leaveAt     Instant // and no later than this
	saidGoodbye bool
}

// promote claims mastership. Nothing answers before the first lease.
func (m *Machine) promote(reason Reason, cause *Advert, due Instant, out []Action) []Action {
	m.generation++
	m.phase = phaseClaiming
	m.master = master{recorded: m.effective, announcements: 3}
	out = append(out, SetPriority{m.effective})
	out = m.claim(out)
	return m.enter(Master, reason, cause, due, out)
}

// claim lets one advert out under send_until; its success brings the lease.
func (m *Machine) claim(out []Action) []Action {
	m.phase = phaseClaiming
	m.master.sendUntil = m.claimEnd()
	out = append(out, m.role(), AddVIPs{})
	return m.send(out)
}

// claimEnd is when a claim is over that begins now. The kernel counts a claim from its
// advert on: it has to end before the lease would.
func (m *Machine) claimEnd() Instant {
	return min(m.now.Add(claimTime), leaseFrom(m.now, m.span(m.effective)))
}

// sending gives a claim its time again if it ran out while the addresses were put on the
// host: netlink stands in line with the whole host's configuration, at times for longer.
// The kernel has just been asked for a yield, and past the end of a claim every foreign
// advert is one, so nobody else has spoken. After more than an interval it stays over.
func (m *Machine) sending(out []Action) []Action {
	s := &m.master
	if m.state != Master || m.phase != phaseClaiming || !s.inFlight ||
		m.now < s.sendUntil.Add(-claimTime/10) || m.now > s.sendUntil.Add(m.effective.Interval()) {
		return out
	}
	s.sendUntil = m.claimEnd()
	return append(out, m.role())
}

func (m *Machine) role() SetRole {
	return SetRole{State: Master, Generation: m.generation, Lease: m.master.lease, SendUntil: m.master.sendUntil}
}

// send states the effective priority; if it is worse than what was stated, the kernel
// learns it first (I2).
func (m *Machine) send(out []Action) []Action {
	s := &m.master
	out = m.record(worst(s.recorded, m.effective), out)
	s.stated, s.inFlight = m.effective, true
	s.nextSend = m.now.Add(m.retryTime()) // should the outcome never come
	m.took()
	return append(out, SendAdvert{Priority: m.effective})
}

func (m *Machine) record(p Priority, out []Action) []Action {
	if p == m.master.recorded {
		return out
	}
	m.master.recorded = p
	return append(out, SetPriority{p})
}

// retryTime is a tenth of the interval, unless the lease is much shorter than that (after
// a change of advbase); never so short that it spaces the regular adverts.
func (m *Machine) retryTime() time.Duration {
	return max(min(m.effective.Interval()/retryPart, m.span(m.effective)/4), minRetry)
}

// turn is the earliest moment for an advert out of turn: a burst is free, then they are
// spaced, so that a storm of changes is no storm of adverts. A claim is one, too: a node
// that is thrown out and comes back has no new burst. What is due anyway never waits.
func (m *Machine) turn() Instant {
	return m.pace.Add(-(sendBurst - 1) * m.cfg.spacing())
}

// took notes an advert. No more than one burst is ever owed.
func (m *Machine) took() {
	spacing := m.cfg.spacing()
	m.pace = min(max(m.pace, m.now).Add(spacing), m.now.Add(sendBurst*spacing))
}

// spacing is that of adverts out of turn, by the configuration alone: if it followed the
// demotions, their storm would stretch the burst.
func (c Config) spacing() time.Duration {
	p := Priority{AdvBase: c.AdvBase, AdvSkew: c.AdvSkew}
	return max(min(p.Interval()/retryPart, c.span(p)/4), minRetry)
}

// sendTime is the time between two adverts: the interval, unless the lease would end
// before the one after next.
func (m *Machine) sendTime() time.Duration {
	return min(m.effective.Interval(), m.span(m.effective)*2/3)
}

// sent renews the lease, or not.
func (m *Machine) sent(ev Sent, out []Action) []Action {
	s := &m.master
	if m.state != Master || !s.inFlight || ev.Goodbye != m.bowing() {
		return out
	}
	s.inFlight = false
	switch {
	case ev.Goodbye:
		s.saidGoodbye = ev.OK
		m.handover.said = m.handover.said || ev.OK
		return out
	case !ev.OK && m.phase == phaseClaiming:
		return m.stepDown(ReasonSendFailed, nil, m.now, 0, out)
	case !ev.OK:
		s.failing = true
		s.nextSend = m.now.Add(m.retryTime())
		return out
	}
	return m.renew(min(ev.T0, m.now), out)
}

func (m *Machine) renew(t0 Instant, out []Action) []Action {
	s := &m.master
	m.failures = failures{}
	claimed := m.phase == phaseClaiming
	m.phase, s.failing, s.blind = phaseOwning, false, false
	s.lastSent = t0
	s.lease = leaseFrom(t0, m.span(s.stated))
	// A claim must not outlive a lease that has become shorter since, in fast mode.
	s.sendUntil = min(s.sendUntil, s.lease)
	s.nextSend = t0.Add(m.sendTime())
	if s.stated != m.effective {
		s.nextSend = min(s.nextSend, max(m.now, m.turn())) // changed while the advert was on its way
	}
	out = m.record(s.stated, out)
	out = append(out, m.role())
	switch {
	case s.adopted:
		s.adopted = false
		out = append(out, AddVIPs{})
	case !claimed:
		out = append(out, RenewVIPs{})
	}
	if s.announcements > 0 {
		s.announcements--
		out = append(out, Announce{})
	}
	return m.ask(out)
}

// restate advertises a changed priority at once. The kernel learns a worse one even if
// the advert has to wait for its turn.
func (m *Machine) restate(out []Action) []Action {
	s := &m.master
	if m.phase != phaseOwning && m.phase != phaseClaiming {
		return out
	}
	out = m.record(worst(s.recorded, m.effective), out)
	if m.phase == phaseClaiming || s.inFlight || m.now >= s.lease {
		return out // the outcome, or the next Tick, takes it from here
	}
	s.nextSend = min(s.nextSend, s.lastSent.Add(m.sendTime()))
	if s.stated == m.effective {
		return out
	}
	if turn := m.turn(); turn > m.now {
		s.nextSend = min(s.nextSend, turn)
		return out
	}
	return m.send(out)
}

func (m *Machine) tickMaster(out []Action) []Action {
	s := &m.master
	switch m.phase {
	case phaseClaiming:
		if m.now >= s.sendUntil {
			return m.stepDown(ReasonSendFailed, nil, s.sendUntil, 0, out)
		}
	case phaseOwning:
		return m.tickOwning(out)
	case phaseExpired:
		return m.tickExpired(out)
	case phaseBowed:
		return m.tickBowed(out)
	case phaseLeaving:
		return m.tickLeaving(out)
	case phaseNone:
	}
	return out
}

func (m *Machine) tickOwning(out []Action) []Action {
	s := &m.master
	if m.now >= s.lease {
		if s.failing {
			return m.stepDown(ReasonSendFailed, nil, s.lease, 0, out)
		}
		return m.expire(out)
	}
	if m.now >= s.nextSend {
		m.forgetHandover()
		out = m.send(out)
	}
	return m.seeOffRival(out)
}

func (m *Machine) seeOffRival(out []Action) []Action {
	s := &m.master
	if s.rival && m.now >= m.rivalGone() {
		s.rival = false
		out = append(out, Announce{})
	}
	return out
}

// rivalGone is when a foreign master that was heard counts as silent: what it taught
// switches and neighbours has to be put right.
func (m *Machine) rivalGone() Instant {
	return m.master.rivalAt.Add(m.downTime())
}
