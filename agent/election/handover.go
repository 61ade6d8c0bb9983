// SPDX-License-Identifier: Apache-2.0

package election

// handover is a Yield under way: first a priority that any peer with preemption beats,
// then, for peers without, one bow-out; the addresses are spoken for until the very
// advert of the successor.
type handover struct {
	on    bool
	over  bool // nobody came: our own priority comes back with the next advert
	force bool
	wait  bool
	since Instant
	asked Instant // the peers had an interval to take over by then; 0 = not told yet
	until Instant // phaseBowed: no successor will come after this
	said  bool    // the goodbye is out
	gave  bool    // given up
}

// priority is what to advertise: the configured one under all demotions, or, while the
// operator hands over, skew 240 at least.
func (m *Machine) priority() Priority {
	demotion := m.demotion
	if h := &m.handover; (h.on || h.over) && !h.wait {
		demotion = max(demotion, 0) + MaxSkew
	}
	return m.cfg.Effective(demotion)
}

func (m *Machine) handOver(ev Yield, out []Action) []Action {
	h := &m.handover
	switch {
	case m.state != Master || m.phase == phaseLeaving:
		return append(out, Handover{Outcome: NotMaster})
	case h.on:
		h.force, h.wait = h.force || ev.Force, h.wait && ev.Wait
	default:
		m.handover = handover{on: true, force: ev.Force, wait: ev.Wait, since: m.now}
	}
	m.effective = m.priority()
	out = m.restate(out)
	if m.phase == phaseOwning && !m.master.inFlight {
		m.told()
	}
	return out
}

// told notes that the peers have heard what they are asked.
func (m *Machine) told() {
	h, s := &m.handover, &m.master
	if h.on && h.asked == 0 && s.stated == m.effective {
		h.asked = s.lastSent.Add(m.effective.Interval())
	}
}

// ask follows every advert that was accepted. A bow-out does not renew the lease, so it
// comes right after an advert that did: the peers have time, and we can go on.
func (m *Machine) ask(out []Action) []Action {
	h, s := &m.handover, &m.master
	asked := h.asked > 0 && m.now >= h.asked
	m.told()
	if !h.on || !asked {
		return out
	}
	span := m.span(m.effective)
	until := min(m.now.Add(m.effective.Interval()), s.lease.Add(-span/4))
	if until.Sub(m.now) < m.retryTime() {
		return out // the outcome came late; after the next advert
	}
	m.phase, h.until, s.saidGoodbye = phaseBowed, until, false
	out = m.record(yieldToAnybody(), out)
	return m.bowOut(out)
}

// bowing reports whether the SendAdvert in flight is a bow-out.
func (m *Machine) bowing() bool { return m.phase == phaseLeaving || m.phase == phaseBowed }

func (m *Machine) tickBowed(out []Action) []Action {
	s := &m.master
	switch {
	case m.now >= m.handover.until:
		return m.notTaken(out)
	case !s.saidGoodbye && m.now >= s.nextSend:
		return m.bowOut(out)
	default:
		return out
	}
}

// notTaken ends a handover without a successor. Who heard the bow-out and did not act on
// it must hear of us again at once.
func (m *Machine) notTaken(out []Action) []Action {
	h := &m.handover
	if h.force {
		h.gave = true
		out = m.stepDown(ReasonYield, nil, h.until, 0, out)
		m.backup.grace = m.downTime() // a slower peer has the first turn
		m.rearm()
		return out
	}
	out = append(out, m.outcome(NotTaken, nil))
	h.on, h.over = false, true
	return m.rise(out)
}

// stay ends a handover that only waits. The priority is the demotion's, as it was all along.
func (m *Machine) stay(out []Action) []Action {
	if h := &m.handover; !h.on || !h.wait {
		return out
	}
	out = append(out, m.outcome(Withdrawn, nil))
	m.handover = handover{}
	m.effective = m.priority()
	if m.phase == phaseBowed {
		return m.rise(out)
	}
	return out
}

// rise follows a bow-out that nobody acted on.
func (m *Machine) rise(out []Action) []Action {
	s := &m.master
	m.phase, s.inFlight = phaseOwning, false
	if m.now >= s.lease {
		return m.expire(out)
	}
	return m.seeOffRival(m.send(out))
}

// forgetHandover takes the request's priority back, when the next advert is due anyway.
func (m *Machine) forgetHandover() {
	if m.handover.over {
		m.handover = handover{}
		m.effective = m.priority()
	}
}

// endHandover is for a MASTER that leaves its state, or stops waiting for a successor
// because it leaves for good.
func (m *Machine) endHandover(to State, reason Reason, cause *Advert, out []Action) []Action {
	h := &m.handover
	if h.on {
		outcome := HandedOver
		switch {
		case h.gave:
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

func (m *Machine) outcome(o Outcome, cause *Advert) Handover {
	h := Handover{Outcome: o, Goodbye: m.handover.said, Took: m.now.Sub(m.handover.since)}
	if o == HandedOver && cause != nil {
		h.Successor = cause.Src
	}
	return h
}
