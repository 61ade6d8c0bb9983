// SPDX-License-Identifier: Apache-2.0

package election

import "time"

// backup is the state of a group in BACKUP.
type backup struct {
	from      Instant       // earlier adverts are evidence about a former state
	base      Instant       // start of the down time
	due       Instant       // then the master is down
	pending   bool          // m.heard awaits a decision
	worse     Instant       // the first of the adverts in a row that this node would take over from; 0 = none
	extended  bool          // again is set
	again     Instant       // when a postponed decision is due
	tie       time.Duration // added to every wait after a contest of equals
	grace     time.Duration // added to the wait after giving up without a successor, or after failed claims
	retry     time.Duration // the wait after the last claim that failed; 0 = none has since an advert was heard
	said      Priority      // priority that the sender of the last goodbye stated before it
	saidKnown bool          // said is valid
}

// await begins BACKUP. Adverts count as evidence from the given time.
func (m *Machine) await(from Instant, tie time.Duration) {
	m.backup = backup{from: from, base: m.now, tie: tie}
	m.inRhythm = false
	if m.known {
		m.noteRhythm(m.heard)
	}
	m.rearm()
}

// awaitAgain continues BACKUP after a claim of which nothing was sent. No peer has noticed it, so what was heard before
// is still evidence, and the node waits for the same master again. It doubles the wait with each further claim that
// fails, up to that of a node that has heard no master: a node whose sends always fail must not add and remove its
// addresses all the time.
func (m *Machine) awaitAgain() {
	b := &m.backup
	b.base, b.pending, b.extended = m.now, false, false
	down := m.downTime()
	b.retry = max(down, min(2*b.retry, max(m.ordinaryDown(), downRatio*unknownInterval)))
	b.grace = b.retry - down
	m.rearm()
}

// awaitOthers begins BACKUP after a lease that this node could not renew. The last master was this node itself, and
// peers that heard it take over within the down time of its last advert. So BACKUP counts in the interval and beat of
// that advert, unless another master was heard that may be alive.
func (m *Machine) awaitOthers(last *sends) {
	m.await(m.now, 0)
	heardNow := m.inRhythm
	m.inRhythm = true
	if m.known && m.now < m.heard.At.Add(m.downTime()) {
		m.inRhythm = heardNow
		return
	}
	m.rhythm, m.heardBeat = last.told, last.toldBeat
	m.rearm()
}

func (m *Machine) rearm() { m.backup.due = m.downAt() }

// downAt returns when the master is down if nothing more is heard.
func (m *Machine) downAt() Instant {
	b := &m.backup
	due := b.base.Add(m.downTime() + b.tie + b.grace)
	switch beat := m.counted(); {
	case beat > 0:
		due = max(due, m.allQuiet().Add(m.rank(beat)+b.tie))
	case m.cfg.AdvBase == 0:
		due = max(due, m.allQuiet().Add(m.rank(time.Second)+b.tie))
	}
	return max(due, m.silenceCounts())
}

// evidence takes the newest advert into account. Every valid advert restarts the timer; Tick decides on the rest.
func (m *Machine) evidence(a Advert, before *Advert) {
	b := &m.backup
	if a.At < b.from {
		m.rearm() // not evidence, but it states the master's interval
		return
	}
	// A withheld advert comes late, and needs no decision unless something has changed meanwhile.
	b.pending = !a.Withheld || m.verdict(a) != 0
	b.extended, b.grace, b.retry, m.extensions = false, 0, 0, 0
	if m.verdict(a) == 0 {
		b.worse = 0
	} else if b.worse == 0 {
		b.worse = a.At
	}
	m.delay.heard = true
	if a.Goodbye() {
		if before != nil && !before.Goodbye() {
			b.said, b.saidKnown = before.Priority, true
		}
	} else {
		b.saidKnown = false
	}
	m.hold.note(a)
	m.drawLot(a, before)
	b.base = max(b.base, a.At)
	m.rearm()
}

// drawLot separates equal nodes. Nodes that claimed and yielded to each other have a tie delay; a node that only
// watched gets one, too, or all of those would claim together. The delay stays until a node advertises regularly:
// a single claim does not make a master.
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
		b.tie = tieDelay(m.tieRange(a), m.cfg.NodeName, a.Src, m.generation)
	}
}

// contested reports whether another node with the same priority advertised within an interval of a. The other
// family of a node does not count.
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

// decideAt returns when to act on the newest advert: at once, except after yielding to an equal node, which may do
// the same, and while a node to which we would have to yield may own, even if its agent hangs. Taking over from
// the worse of two masters would make us a second master until the better one advertises or its lease ends.
func (m *Machine) decideAt() Instant {
	b := &m.backup
	if m.verdict(m.heard) == 0 {
		return m.heard.At
	}
	// The tie delay may be longer than the interval, so it does not begin anew with each advert.
	at := max(m.heard.At, m.extraAt())
	if b.tie > 0 {
		at = max(at, max(b.worse, b.from).Add(b.tie))
	}
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
	// An advert that is acted on at once is evidence. Silence is not, if the clock was not watched or
	// adverts were refused unread.
	if m.reach.Mute || m.putOff(due, cause == nil || due > cause.At) {
		b.extended, b.again = true, m.now.Add(m.wait())
		return out
	}
	return m.promote(reason, cause, due, out)
}

// putOff reports whether a decision must be postponed: the clock was not watched, so that silence and old adverts are
// not evidence, or the decision rests on silence while adverts were refused unread. This happens at most
// maxExtensions times, so that a node that is always late, or under a flood, still takes over from a dead one.
func (m *Machine) putOff(due Instant, silence bool) bool {
	if m.extensions >= maxExtensions || !m.tooLate(due, silence) && (!silence || m.now >= m.blindUntil) {
		return false
	}
	m.extensions++
	return true
}

// blind notes whether adverts were refused unread since the last Tick. Silence is evidence again after an interval.
func (m *Machine) blind(yes bool) {
	if yes {
		m.blindUntil = m.now.Add(m.wait())
		m.master.blind = m.state == Master
	}
}

// Settled reports whether adverts that repeat a, the last one of its family, change nothing but the time at which the
// master was heard last. The kernel may then keep them to itself. The machine has to hear of the last one, as a
// Withheld advert, before anything else that happened later, and before a deadline. It answers anew after each event.
func (m *Machine) Settled(a Advert) bool {
	b := &m.backup
	return m.state == Backup && !b.pending && !b.extended && b.tie == 0 && b.grace == 0 && m.inRhythm &&
		!m.heard.Goodbye() && a.At >= b.from && !a.Goodbye() &&
		!m.watches() &&
		b.due == m.downAt() && // else the next advert shortens the wait, after a change of the configuration
		m.judge(a, HoldNone) == 0 // a hold may end without an event
}

// verdict returns the reason to take over from the sender of a, or 0.
func (m *Machine) verdict(a Advert) Reason {
	hold, _ := m.held()
	return m.judge(a, hold)
}

// judge returns the verdict under a hold.
func (m *Machine) judge(a Advert, hold Hold) Reason {
	theirs, mine := a.Priority, m.effective
	if Superior(theirs, mine, a.Aware) {
		return 0 // we would yield to its next advert
	}
	preempts := m.cfg.Preempt && mine.micros() < theirs.micros()
	timesOut := m.cfg.willTimeOut(theirs, mine)
	switch {
	case theirs.Goodbye():
		if m.abandoned() {
			return 0 // it takes over after silence
		}
		if preempts || timesOut {
			return ReasonGoodbye
		}
		return 0
	case m.reach.Impaired:
		return 0 // the sender may reach all families and peers
	case hold == HoldNone && a.Aware && theirs.Demote > demoteByte(m.demotion):
		// Also if our demotion is not advertised: a demoted node does not take over.
		return ReasonDemoted
	case hold == HoldNone && preempts:
		return ReasonPreempt
	case timesOut && hold != HoldSendFailed && hold != HoldClaimDelay:
		return ReasonMasterTimeout
	default:
		return 0
	}
}
