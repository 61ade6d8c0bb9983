// SPDX-License-Identifier: Apache-2.0

package election

import "time"

// master is the state of a group in MASTER.
type master struct {
	permit
	sends
	announcing
	leaving

	deposes bool // the claim deposes a living owner
	blind   bool // adverts were refused unread since our last advert
	adopted bool // an earlier process added the addresses
}

// permit is what the data plane holds.
type permit struct {
	recorded  Priority // the one that the data plane compares with
	lease     Instant
	sendUntil Instant
	old       shorter
	judged    Instant // the kernel has decided on adverts up to then
	resumeAt  Instant // phaseExpired: claim again then
}

// shorter is the interval that peers may still count in because they missed the adverts that state a longer one. Until
// such adverts were sent for twice D, D is that of the shorter one, and so is the time between two adverts.
type shorter struct {
	unit  time.Duration // 0 = none
	last  time.Duration // until then; see Machine.limit
	until Instant       // 0 = no advert that states the longer one was sent
}

// sends is the state of the own adverts.
type sends struct {
	stated   Priority      // of the last SendAdvert
	beat     time.Duration // of the same
	unit     time.Duration // of the same; 0 before the first
	inFlight bool          // its outcome is not known yet
	failing  bool          // the last send failed
	partial  int           // consecutive renewals of which only a part was sent, at most maxPartial
	lastSent Instant       // T0 of the last successful send
	told     time.Duration // interval that it stated, without the beat
	toldBeat time.Duration // beat that it stated
	nextSend Instant
	behind   time.Duration // how much sooner than usual the next adverts are to leave, all together
}

// announcing is the state of gratuitous ARPs and unsolicited NAs.
type announcing struct {
	announcements int     // still to send, one with each successful advert
	announceAt    Instant // not before, with a beat
	rival         bool    // another master was heard
	rivalAt       Instant // when it was last heard
}

// leaving is the state of a Release.
type leaving struct {
	leaveReason Reason
	leaveAt     Instant // latest time
	saidGoodbye bool
}

// promote claims mastership. The node does not answer before the first lease.
func (m *Machine) promote(reason Reason, cause *Advert, due Instant, out []Action) []Action {
	if cause == nil {
		m.giveUp()
	}
	m.generation++
	m.phase = phaseClaiming
	m.master = master{
		permit:     permit{recorded: m.effective},
		announcing: announcing{announcements: 3},
		deposes:    cause != nil && !cause.Goodbye(),
	}
	out = append(out, SetPriority{m.effective})
	out = m.claim(out)
	return m.enter(Master, reason, cause, due, out)
}

// claim sends one advert under send_until. Its success brings the lease.
func (m *Machine) claim(out []Action) []Action {
	m.phase = phaseClaiming
	m.limit()
	m.master.sendUntil = m.claimEnd()
	m.master.behind = m.cfg.Stagger
	out = append(out, m.role(), AddVIPs{})
	return m.send(out)
}

// claimEnd returns when a claim that begins now ends. The kernel counts a claim from its advert, so it must end before
// the lease would.
func (m *Machine) claimEnd() Instant {
	return min(m.now.Add(claimTime), leaseFrom(m.now, m.span()))
}

// sending restarts the time of a claim that ran out while the addresses were added: netlink waits for other changes of
// the host's configuration, sometimes for longer. The kernel was just checked for a yield, and after the end of a claim
// it yields to every advert, so no other node has advertised. After more than an interval the claim stays over.
func (m *Machine) sending(out []Action) []Action {
	s := &m.master
	if m.state != Master || m.phase != phaseClaiming || !s.inFlight ||
		m.now < s.sendUntil.Add(-claimTime/10) || m.now > s.sendUntil.Add(m.effective.Interval()) {
		return out
	}
	end := m.claimEnd()
	if end == s.sendUntil {
		return out
	}
	s.sendUntil = end
	return append(out, m.role())
}

func (m *Machine) role() SetRole {
	return SetRole{State: Master, Generation: m.generation, Lease: m.master.lease, SendUntil: m.master.sendUntil}
}

// send advertises the effective priority. If it is worse than the last one, the kernel gets it first (I2). If it states
// a shorter interval, the lease is cut first: peers count from the advert, whenever the agent learns its outcome.
func (m *Machine) send(out []Action) []Action {
	s := &m.master
	out = m.setPriority(worst(s.recorded, m.effective), out)
	m.limit()
	if end := leaseFrom(m.now, m.span()); s.lease > end {
		s.lease, s.sendUntil = end, min(s.sendUntil, end)
		out = append(out, m.role())
	}
	s.stated, s.beat, s.inFlight = m.effective, m.beat(), true
	s.nextSend = m.now.Add(m.retryTime()) // if the outcome never comes
	m.countSend()
	whole := m.phase == phaseClaiming && s.deposes
	return append(out, SendAdvert{Priority: m.effective, Beat: s.beat, Whole: whole})
}

// limit follows a change of the interval that adverts state.
func (m *Machine) limit() {
	s := &m.master
	next := m.cfg.unit(m.effective, m.beat())
	switch o := &s.old; {
	case s.unit == 0 || next == s.unit:
	case next <= o.unit:
		*o = shorter{}
	case next > s.unit && o.unit == 0:
		*o = shorter{unit: s.unit, last: 2 * downRatio * s.unit}
	case next > s.unit:
		// Peers may count in either.
		o.last, o.until = max(o.last, 2*downRatio*s.unit), 0
	}
	s.unit = next
}

// limit returns the unit of an advert that states the given one.
func (s *shorter) limit(unit time.Duration) time.Duration {
	if s.unit > 0 {
		return min(unit, s.unit)
	}
	return unit
}

// sentLonger follows an advert that was sent at t0.
func (s *shorter) sentLonger(t0 Instant) {
	switch {
	case s.unit == 0:
	case s.until == 0:
		s.until = t0.Add(s.last)
	case t0 >= s.until:
		*s = shorter{}
	}
}

func (m *Machine) setPriority(p Priority, out []Action) []Action {
	if p == m.master.recorded {
		return out
	}
	m.master.recorded = p
	return append(out, SetPriority{p})
}

// retryTime returns a tenth of the interval, or less if the lease is much shorter (after a change of advbase), but at
// least minRetry, or half a beat.
func (m *Machine) retryTime() time.Duration {
	interval := m.interval()
	return max(min(interval/retryPart, m.span()/4), min(minRetry, interval/2))
}

// extraAt returns the earliest time for an extra advert: a burst is allowed, then they are spaced, so that many changes
// do not cause as many adverts. A claim counts, too: a node that loses mastership and returns has no new burst. Regular
// adverts never wait.
func (m *Machine) extraAt() Instant {
	return m.pace.Add(-(sendBurst - 1) * m.cfg.spacing())
}

// countSend counts an advert. The debt is at most one burst.
func (m *Machine) countSend() {
	spacing := m.cfg.spacing()
	m.pace = min(max(m.pace, m.now).Add(spacing), m.now.Add(sendBurst*spacing))
}

// spacing returns the spacing of extra adverts. It depends on the configuration alone: if it followed the
// demotions, many of them would extend the burst.
func (c Config) spacing() time.Duration {
	interval := Advert{Priority: c.priority(), Beat: c.Beat}.Interval()
	return max(min(interval/retryPart, c.span(c.unit(c.priority(), c.Beat))/4), min(minRetry, interval/2))
}

// sendTime returns the time between two adverts: the interval, or two thirds of the lease if that is shorter.
func (m *Machine) sendTime() time.Duration {
	every := min(m.interval(), m.span()*2/3)
	if old := m.master.old.unit; old > 0 {
		every = min(every, old)
	}
	return every
}

// slice returns how much sooner than due a regular advert may leave. A retry or an extra advert does not.
func (m *Machine) slice() time.Duration {
	s := &m.master
	if s.inFlight || s.failing || s.stated != m.effective {
		return 0
	}
	return min(m.sendTime()/slicePart, MaxSlice)
}

// sent handles the outcome of a send, which renews the lease if it succeeded.
func (m *Machine) sent(ev Sent, out []Action) []Action {
	s := &m.master
	if m.state != Master || !s.inFlight || ev.Goodbye != m.sayingGoodbye() {
		return out
	}
	s.inFlight = false
	if ev.Partial && !ev.Goodbye {
		var done bool
		if out, done = m.partialSend(ev, out); done {
			return out
		}
	}
	switch {
	case ev.Goodbye:
		s.saidGoodbye = ev.OK || ev.Partial
		m.handover.said = m.handover.said || s.saidGoodbye
		return out
	case !ev.OK && m.phase == phaseClaiming:
		return m.stepDown(ReasonSendFailed, nil, m.now, 0, out)
	case !ev.OK:
		s.failing = true
		s.nextSend = m.now.Add(m.retryTime())
		return out
	}
	if s.partial > 0 {
		s.partial = 0
		m.effective = m.priority()
	}
	return m.renew(min(ev.T0, m.now), out)
}

func (m *Machine) renew(t0 Instant, out []Action) []Action {
	s := &m.master
	m.failures = failures{}
	claimed := m.phase == phaseClaiming
	if claimed {
		m.phase = phaseOwning
	}
	s.failing, s.blind, s.deposes = false, false, false
	s.lastSent, s.told, s.toldBeat = t0, s.stated.Interval(), s.beat
	s.old.sentLonger(t0)
	s.lease = leaseFrom(t0, m.cfg.span(s.old.limit(s.unit)))
	// In fast mode the lease may have become shorter than the claim.
	s.sendUntil = min(s.sendUntil, s.lease)
	s.nextSend = t0.Add(m.sendTime() - m.outOfStep(t0) - m.makeUp())
	if s.stated != m.effective {
		s.nextSend = min(s.nextSend, max(m.now, m.extraAt())) // changed while the advert was sent
	}
	out = m.setPriority(s.stated, out)
	out = append(out, m.role())
	switch {
	case s.adopted:
		s.adopted = false
		out = append(out, AddVIPs{})
	case !claimed:
		out = append(out, RenewVIPs{})
	}
	if s.announcements > 0 && (!m.brief() || m.now >= s.announceAt) {
		s.announcements--
		s.announceAt = m.now.Add(announceGap)
		out = append(out, Announce{})
	}
	return m.ask(out)
}

// restate advertises a changed priority at once, or when extra adverts are allowed again. The kernel gets a worse one
// immediately.
func (m *Machine) restate(out []Action) []Action {
	s := &m.master
	if m.phase != phaseOwning && m.phase != phaseClaiming {
		return out
	}
	out = m.setPriority(worst(s.recorded, m.effective), out)
	if m.phase == phaseClaiming || s.inFlight || m.now >= s.lease {
		return out // continued by the outcome or the next Tick
	}
	s.nextSend = min(s.nextSend, s.lastSent.Add(m.sendTime()))
	if s.stated == m.effective {
		return out
	}
	if turn := m.extraAt(); turn > m.now {
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
	case phaseEnding:
		return m.tickEnding(out)
	case phaseExpired:
		return m.tickExpired(out)
	case phaseGoodbye:
		return m.tickGoodbye(out)
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
	if m.now >= s.nextSend.Add(-m.slice()) {
		m.forgetHandover()
		m.fallBehind()
		out = m.send(out)
	}
	return m.announceAfterRival(out)
}

// fallBehind notes that a regular advert leaves late. After a pause of a node with many groups, the adverts of all that
// became due meanwhile leave at the same moment. If the next ones were due an interval later, so would be all that
// follow, and on a BACKUP all claims.
func (m *Machine) fallBehind() {
	s := &m.master
	if late := m.now.Sub(s.nextSend); late > MaxSlice && m.slice() > 0 {
		s.behind = (s.behind + late) % m.sendTime()
	}
}

// makeUp returns how much sooner than usual the next advert leaves because this group is behind: up to a quarter of the
// interval. Beats and intervals below a second are kept.
func (m *Machine) makeUp() time.Duration {
	s := &m.master
	if m.cfg.AdvBase == 0 || m.brief() {
		s.behind = 0
	}
	part := min(s.behind, m.sendTime()/4)
	s.behind -= part
	return part
}

func (m *Machine) announceAfterRival(out []Action) []Action {
	s := &m.master
	if s.rival && m.now >= m.rivalGone() {
		s.rival = false
		out = append(out, Announce{})
	}
	return out
}

// rivalGone returns when another master that was heard counts as silent. Then switches and neighbours need a new
// announcement.
func (m *Machine) rivalGone() Instant {
	return m.master.rivalAt.Add(m.ordinaryDown())
}

// expire handles the end of the lease: the process was stopped, starved or paused, and another node may
// have taken over. This node is silent until that is ruled out.
func (m *Machine) expire(out []Action) []Action {
	s := &m.master
	if m.heardSinceSent() {
		heard := m.heard
		return m.stepDown(ReasonLeaseExpired, &heard, s.lease, 0, out)
	}
	m.phase, m.extensions, s.inFlight = phaseExpired, 0, false
	s.resumeAt = m.now.Add(m.interval())
	return out
}

func (m *Machine) tickExpired(out []Action) []Action {
	s := &m.master
	if m.now < s.resumeAt {
		return out
	}
	if s.blind {
		// Another node may have advertised unread. As BACKUP this node takes over again if none did.
		return m.stepDown(ReasonLeaseExpired, nil, s.resumeAt, 0, out)
	}
	if m.putOff(s.resumeAt, false) {
		s.resumeAt = m.now.Add(m.interval())
		return out
	}
	s.announcements, s.announceAt, s.rival = max(s.announcements, 1), 0, false
	return m.claim(out)
}

// heardSinceSent reports whether another node advertised since our last advert.
func (m *Machine) heardSinceSent() bool {
	return m.known && m.heard.At > m.master.lastSent
}
