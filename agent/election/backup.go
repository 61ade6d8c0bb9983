// SPDX-License-Identifier: Apache-2.0

package election

import "time"

// backup is what a group in BACKUP waits for.
type backup struct {
	from     Instant       // evidence from before belongs to a former state
	base     Instant       // the down time counts from here
	due      Instant       // the master is down then
	pending  bool          // m.heard has not been decided on
	extended bool          // again is set
	again    Instant       // a late decision is looked at again then
	tie      time.Duration // after a contest of equals, added to every wait
	grace    time.Duration // after giving up to nobody, added to the first wait
}

// listen begins BACKUP with evidence from that moment on.
func (m *Machine) listen(from Instant, tie time.Duration) {
	m.backup = backup{from: from, base: m.now, tie: tie}
	m.inRhythm = false
	if m.known {
		m.keepTime(m.heard)
	}
	m.rearm()
}

func (m *Machine) rearm() {
	b := &m.backup
	b.due = b.base.Add(m.downTime() + b.tie + b.grace)
	if m.cfg.AdvBase == 0 {
		b.due = max(b.due, m.allQuiet().Add(m.rank()+b.tie))
	}
}

// hear takes the newest advert as evidence. Every valid advert restarts the timer; what
// else it means, Tick decides.
func (m *Machine) hear(a Advert, before *Advert) {
	b := &m.backup
	if a.At < b.from {
		m.rearm() // no evidence, but it tells how often that master speaks
		return
	}
	b.pending, b.extended, b.grace, m.extensions = true, false, 0, 0
	m.hold.note(a)
	m.drawLot(a, before)
	b.base = max(b.base, a.At)
	m.rearm()
}

// drawLot keeps equal nodes apart. Those that claimed and yielded to each other have each
// drawn a lot; who stood by draws one, too, or all of them would claim together in their
// turn. A lot is kept until somebody speaks as masters do: one claim is no master yet.
func (m *Machine) drawLot(a Advert, before *Advert) {
	b := &m.backup
	if !Superior(a.Priority, m.effective, a.Aware) {
		return
	}
	if before != nil && before.At >= b.from {
		interval := a.Interval()
		if apart := a.At.Sub(before.At); apart >= interval/2 && apart <= interval+interval/2+minLateness {
			b.tie = 0
			return
		}
	}
	if b.tie == 0 && m.contested(a) {
		b.tie = tieDelay(m.tieRange(m.cfg.interval()), m.cfg.NodeName, a.Src, m.generation)
	}
}

// contested reports whether another node that is as good has spoken within an interval of
// a. A node's other family is no other node.
func (m *Machine) contested(a Advert) bool {
	for i := range m.speakers {
		s := &m.speakers[i]
		if s.used && s.Src != a.Src && FamilyOf(s.Src) == FamilyOf(a.Src) &&
			s.Priority == a.Priority && a.At.Sub(s.At) < a.Interval() {
			return true
		}
	}
	return false
}

// decideAt is when the newest advert may be acted on. At once, with two exceptions: after
// yielding to an equal node, which may be about to do the same; and while another speaker
// to which we would have to yield may own, also one whose agent hangs. Taking over from
// the worse of two masters would make us the second master until the better one speaks
// again, or its lease ends.
func (m *Machine) decideAt() Instant {
	b := &m.backup
	if m.verdict(m.heard) == 0 {
		return m.heard.At
	}
	at := max(m.heard.At.Add(b.tie), m.turn())
	for i := range m.speakers {
		s := &m.speakers[i]
		if s.used && s.Src != m.heard.Src && Superior(s.Priority, m.effective, s.Aware) {
			at = max(at, m.cfg.quiet(s.Advert))
		}
	}
	return at
}

func (m *Machine) tickBackup(out []Action) []Action {
	b := &m.backup
	due, reason := b.due, ReasonMasterTimeout
	var cause *Advert
	if b.pending {
		if r := m.verdict(m.heard); r != 0 {
			heard := m.heard
			due, reason, cause = m.decideAt(), r, &heard
		} else {
			b.pending, b.extended = false, false
		}
	}
	if b.extended {
		due = b.again
	}
	if m.now < due {
		return out
	}
	// An advert that is acted on as it comes is evidence by itself; silence is not on a
	// clock that was not watched, nor while adverts were refused unread.
	if m.putOff(due, cause == nil || due > cause.At) {
		b.extended, b.again = true, m.now.Add(m.beat())
		return out
	}
	return m.promote(reason, cause, due, out)
}

// putOff reports whether a decision due then must wait: the clock was not watched, so
// that silence and old adverts are no evidence; or it rests on silence, and not all that
// was said was read. Bounded, so that a node that is always late, or under a flood, still
// takes over from a dead one.
func (m *Machine) putOff(due Instant, silence bool) bool {
	if m.extensions >= maxExtensions || !m.tooLate(due) && (!silence || m.now >= m.blindUntil) {
		return false
	}
	m.extensions++
	return true
}

// blind notes that adverts were refused unread since the last Tick. Whoever is silent for
// an interval after that is silent.
func (m *Machine) blind(yes bool) {
	if yes {
		m.blindUntil = m.now.Add(m.beat())
		m.master.blind = m.state == Master
	}
}

// verdict is the reason to take over from the sender of a, or 0.
func (m *Machine) verdict(a Advert) Reason {
	theirs, mine := a.Priority, m.effective
	hold, _ := m.held()
	if Superior(theirs, mine, a.Aware) {
		return 0 // we would yield to its next advert
	}
	preempts := m.cfg.Preempt && mine.micros() < theirs.micros()
	timesOut := m.cfg.willTimeOut(theirs, mine)
	switch {
	case theirs.Goodbye():
		if preempts || timesOut {
			return ReasonGoodbye
		}
		return 0
	case hold == HoldNone && a.Aware && theirs.Demote > demoteByte(m.demotion):
		// Also when our demotion is not on the wire: a demoted node takes nothing over.
		return ReasonDemoted
	case hold == HoldNone && preempts:
		return ReasonPreempt
	case timesOut && hold != HoldSendFailed:
		return ReasonMasterTimeout
	default:
		return 0
	}
}
