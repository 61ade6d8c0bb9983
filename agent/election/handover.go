// SPDX-License-Identifier: Apache-2.0

package election

// handover is the state of a running HandOver: first a priority that every peer with preemption beats, then one goodbye
// for peers without it. This node answers until the successor's advert.
type handover struct {
	on      bool
	over    bool // no node took over: our own priority returns with the next advert
	force   bool
	wait    bool
	auto    bool // without a request: the group is offered, see reach.go
	since   Instant
	asked   Instant // then the peers had an interval to take over; 0 = not advertised yet
	until   Instant // phaseGoodbye: no successor is expected after this
	said    bool    // the goodbye was sent
	givenUp bool    // released without a successor
}

// byOperator reports whether a HandOver without Wait is running.
func (h *handover) byOperator() bool { return h.on && !h.wait && !h.auto }

// priority returns the priority to advertise: the configured one under all demotions, with skew 240 at least while the
// operator hands over or a family cannot be reached.
func (m *Machine) priority() Priority {
	demotion := m.demotion
	if h := &m.handover; (h.on || h.over) && !h.wait && !h.auto {
		demotion = max(demotion, 0) + MaxSkew
	}
	if m.impaired() {
		demotion = max(demotion, MaxSkew)
	}
	return m.cfg.Effective(demotion)
}

func (m *Machine) handOver(ev HandOver, out []Action) []Action {
	h := &m.handover
	switch {
	case m.state != Master || m.phase == phaseLeaving || m.phase == phaseEnding:
		return append(out, HandoverResult{Outcome: NotMaster})
	case h.auto:
		h.auto, h.force, h.wait, h.since = false, ev.Force, ev.Wait, m.now
	case h.on:
		h.force, h.wait = h.force || ev.Force, h.wait && ev.Wait
	default:
		m.handover = handover{on: true, force: ev.Force, wait: ev.Wait, since: m.now}
	}
	m.effective = m.priority()
	out = m.restate(out)
	if m.phase == phaseOwning && !m.master.inFlight {
		m.noteAsked()
	}
	return out
}

// noteAsked notes that the peers were asked by an advert with the handover's priority.
func (m *Machine) noteAsked() {
	h, s := &m.handover, &m.master
	if h.on && h.asked == 0 && s.stated == m.effective {
		h.asked = s.lastSent.Add(m.effective.Interval())
	}
}

// ask follows every accepted advert. A goodbye does not renew the lease, so it follows an advert that does: this leaves
// time for the peers and for resuming.
func (m *Machine) ask(out []Action) []Action {
	h := &m.handover
	asked := h.asked > 0 && m.now >= h.asked
	m.noteAsked()
	switch {
	case m.phase == phaseEnding:
		return m.leave(out)
	case !h.on:
		return m.offer(out)
	case !asked:
		return out
	}
	return m.sayGoodbye(out)
}

// sayGoodbye sends a goodbye and waits for a successor while the lease lasts.
func (m *Machine) sayGoodbye(out []Action) []Action {
	h, s := &m.handover, &m.master
	span := m.span()
	until := min(m.now.Add(m.effective.Interval()), s.lease.Add(-span/4))
	if until.Sub(m.now) < m.retryTime() || m.brief() {
		return out // too late for this advert; after the next one
	}
	m.phase, h.until, s.saidGoodbye = phaseGoodbye, until, false
	out = m.setPriority(yieldToAll(), out)
	return m.sendGoodbye(out)
}

// sayingGoodbye reports whether the SendAdvert in flight is a goodbye.
func (m *Machine) sayingGoodbye() bool { return m.phase == phaseLeaving || m.phase == phaseGoodbye }

func (m *Machine) tickGoodbye(out []Action) []Action {
	s := &m.master
	switch {
	case m.now >= m.handover.until:
		return m.notTaken(out)
	case !s.saidGoodbye && m.now >= s.nextSend:
		return m.sendGoodbye(out)
	default:
		return out
	}
}

// notTaken ends a handover without a successor. Peers that received the goodbye must receive an advert at once.
func (m *Machine) notTaken(out []Action) []Action {
	h := &m.handover
	if h.force {
		h.givenUp = true
		out = m.stepDown(ReasonYield, nil, h.until, 0, out)
		m.backup.grace = m.downTime() // a slower peer may take over first
		m.rearm()
		return out
	}
	if h.auto {
		m.handover = handover{}
		return m.goOn(out)
	}
	out = append(out, m.outcome(NotTaken, nil))
	h.on, h.over = false, true
	return m.goOn(out)
}

// stay ends a handover that only waits. The priority depends on the demotion, as before.
func (m *Machine) stay(out []Action) []Action {
	if h := &m.handover; !h.on || !h.wait {
		return out
	}
	out = append(out, m.outcome(Withdrawn, nil))
	m.handover = handover{}
	m.effective = m.priority()
	if m.phase == phaseGoodbye {
		return m.goOn(out)
	}
	return out
}

// goOn continues as owner after a goodbye without a successor.
func (m *Machine) goOn(out []Action) []Action {
	s := &m.master
	m.phase, s.inFlight = phaseOwning, false
	if m.now >= s.lease {
		return m.expire(out)
	}
	return m.announceAfterRival(m.send(out))
}

// forgetHandover restores the priority of before a handover, when the next advert is due.
func (m *Machine) forgetHandover() {
	if m.handover.over {
		m.handover = handover{}
		m.effective = m.priority()
	}
}

// endHandover ends the handover of a MASTER that leaves its state or the group.
func (m *Machine) endHandover(to State, reason Reason, cause *Advert, out []Action) []Action {
	h := &m.handover
	if h.on && !h.auto {
		outcome := HandedOver
		switch {
		case h.givenUp:
			outcome = GivenUp
		case to == Init || reason == ReasonSendFailed:
			outcome = NotMaster
		}
		out = append(out, m.outcome(outcome, cause))
	}
	m.handover = handover{}
	m.effective = m.priority()
	return out
}

func (m *Machine) outcome(o Outcome, cause *Advert) HandoverResult {
	h := HandoverResult{Outcome: o, Goodbye: m.handover.said, Took: m.now.Sub(m.handover.since)}
	if o == HandedOver && cause != nil {
		h.Successor = cause.Src
	}
	return h
}

// release begins to leave the group. Only an owner sends a goodbye: that of another node would make a third node take
// over from the true master.
func (m *Machine) release(reason Reason, out []Action) []Action {
	s := &m.master
	switch {
	case m.state == Init:
		m.restamp(reason)
		return append(out, Released{Reason: reason})
	case m.phase == phaseLeaving || m.phase == phaseEnding:
		s.leaveReason = reason
		return out
	case m.phase != phaseOwning && m.phase != phaseGoodbye || m.now >= s.lease:
		out = m.toInit(reason, nil, m.now, out)
		return append(out, Released{Reason: reason})
	}
	said := m.phase == phaseGoodbye && (s.saidGoodbye || s.inFlight)
	out = m.endHandover(Init, reason, nil, out)
	s.leaveReason = reason
	if m.brief() {
		m.phase = phaseEnding
		return out
	}
	return m.sayLast(said, out)
}

// leave goes on with a Release once the lease is long enough.
func (m *Machine) leave(out []Action) []Action {
	if m.brief() {
		return out
	}
	return m.sayLast(false, out)
}

// sayLast sends the goodbye of a Release, unless it was said.
func (m *Machine) sayLast(said bool, out []Action) []Action {
	s := &m.master
	m.phase = phaseLeaving
	s.leaveAt = min(s.lease, m.now.Add(handoverTime))
	out = m.setPriority(yieldToAll(), out)
	if said {
		return out
	}
	return m.sendGoodbye(out)
}

func (m *Machine) sendGoodbye(out []Action) []Action {
	s := &m.master
	s.inFlight = true
	s.nextSend = m.now.Add(m.retryTime())
	return append(out, SendAdvert{Priority: GoodbyePriority(), Goodbye: true})
}

// tickEnding advertises without a beat until the lease is long enough.
func (m *Machine) tickEnding(out []Action) []Action {
	s := &m.master
	if m.now >= s.lease {
		return m.released(nil, s.lease, out)
	}
	if m.now >= s.nextSend.Add(-m.slice()) {
		out = m.send(out)
	}
	return m.announceAfterRival(out)
}

func (m *Machine) tickLeaving(out []Action) []Action {
	s := &m.master
	switch {
	case m.now >= s.leaveAt:
		return m.released(nil, s.leaveAt, out)
	case !s.saidGoodbye && m.now >= s.nextSend:
		return m.sendGoodbye(out)
	default:
		return out
	}
}

// released ends a Release: a successor advertises, or none is expected.
func (m *Machine) released(cause *Advert, due Instant, out []Action) []Action {
	reason := m.master.leaveReason
	out = m.toInit(reason, cause, due, out)
	return append(out, Released{Reason: reason})
}
