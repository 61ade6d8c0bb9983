// SPDX-License-Identifier: Apache-2.0

package election

import (
	"net/netip"
	"time"
)

// A MASTER with Config.Beat advertises at its beat, which its trailers state. Where time is counted, the beat takes the
// place of the interval: lease, master-down time, lateness, retries, ties. Where priorities are compared, nothing
// changes, and peers that are not vipd see ordinary adverts.
//
// A BACKUP counts in the beat of the newest advert, whatever its own configuration: three beats, then its rank, as in
// fast mode with the beat in place of a second. The rules of fast.go for slower masters that were heard and for late
// decisions apply. If it has heard no master, or one that states no beat, the ordinary rules apply.
//
// A MASTER states no beat while it hands over or leaves, so that it can answer for longer than three beats after its
// goodbye, nor while it is impaired.
//
// Beats can be missing while the master lives: its agent runs late, or a switch polices multicast. So beats that proved
// wrong are not counted for some time, see doubt.

const (
	// claimMark is added to the beat in a claim, which is an even number of microseconds otherwise: peers can tell a
	// master that claims from one that never paused.
	claimMark = time.Microsecond
	beatStep  = 2 * claimMark
	minDoubt  = time.Minute
	maxDoubt  = 60 * time.Minute
	// watchTime is how long beats are watched, each of them, before they are counted again.
	watchTime = 10 * time.Second
)

// beat returns the beat that the next advert states; 0 = none.
func (m *Machine) beat() time.Duration {
	switch {
	case m.cfg.Beat == 0 || m.handover.on || m.impaired() || m.phase == phaseEnding:
		return 0
	case m.phase == phaseClaiming:
		return m.cfg.Beat + claimMark
	default:
		return m.cfg.Beat
	}
}

// interval returns the time until the advert after the next one, as that one states it.
func (m *Machine) interval() time.Duration {
	return Advert{Priority: m.effective, Beat: m.beat()}.Interval()
}

// brief reports whether peers may still count in a beat of this MASTER: its lease is too short for a goodbye.
func (m *Machine) brief() bool {
	s := &m.master
	return s.beat > 0 || s.old.unit > 0 && s.old.unit <= MaxBeat
}

// outOfStep returns how much sooner than usual the next advert leaves while another master is heard: up to a quarter,
// hashed. Two masters in step would refuse each other's numbers, if they do not know each other: each number would be a
// little below one that the other has just sent.
func (m *Machine) outOfStep(t0 Instant) time.Duration {
	if !m.master.rival || m.master.beat == 0 && m.heardBeat == 0 {
		return 0
	}
	return tieDelay(m.sendTime()/2, m.cfg.NodeName, m.heard.Src, uint64(t0))
}

// counted returns the beat in which a BACKUP counts; 0 = it counts in intervals.
func (m *Machine) counted() time.Duration {
	if m.state != Backup || !m.inRhythm || m.doubted() != nil || m.now < m.allUntil {
		return 0
	}
	return m.heardBeat
}

// suspect is a master by the sources of its adverts. In a family in which it was not heard yet, it is recognised by its
// priority.
type suspect struct {
	srcs [2]netip.Addr // by family; invalid = not known
	said Priority
}

// is reports whether src is known to be the master.
func (s *suspect) is(src netip.Addr) bool { return src.IsValid() && s.srcs[FamilyOf(src)-IPv4] == src }

// sent reports whether the master sent a.
func (s *suspect) sent(a Advert) bool {
	f := FamilyOf(a.Src) - IPv4
	if known := s.srcs[f]; known.IsValid() {
		return known == a.Src
	}
	return s.srcs[1-f].IsValid() && a.Priority == s.said
}

// missed is a master that this node gave up because its beats were missing.
type missed struct {
	suspect
	last Instant // when it was heard last
	down Instant // end of its ordinary master-down time; 0 = there is no such master
}

// doubt is about a master that was given up because beats were missing, and then heard. Its beats are not counted for
// some time, which doubles if they prove wrong again soon after it, and which ends only after steady beats.
type doubt struct {
	suspect               // unknown sources: it has ended, or there was none
	was     [2]netip.Addr // its sources
	until   Instant
	wait    time.Duration
	times   int

	last     Instant       // its newest advert
	promised time.Duration // beat of that; 0 = none
	steady   Instant       // since then each beat was in time; 0 = the last one was not
}

// ended is a master whose adverts no longer state a beat.
type ended struct {
	src  netip.Addr
	at   Instant
	sure bool
}

// giveUp follows a takeover after silence.
func (m *Machine) giveUp() {
	if m.counted() > 0 {
		lost := missed{last: m.heard.At, down: m.heard.At.Add(m.ordinaryDown())}
		lost.said, lost.srcs[FamilyOf(m.heard.Src)-IPv4] = m.heard.Priority, m.heard.Src
		other := m.families[IPv6-FamilyOf(m.heard.Src)]
		if other.Ever && other.Priority == lost.said && m.heard.At.Sub(other.At) <= m.counted()/4 { // of the same send
			lost.srcs[FamilyOf(other.Src)-IPv4] = other.Src
		}
		m.missed = lost
	}
}

// noteAlive follows a master that was given up and is heard again. If it does not claim, it was there all the time. If
// it does, its agent ran late, or was started again: that takes longer.
func (m *Machine) noteAlive(a Advert) {
	lost := &m.missed
	if lost.down == 0 || a.At <= lost.last || !lost.sent(a) {
		return
	}
	late := a.At.Sub(lost.last) <= minLateness
	switch {
	case a.At < lost.down && a.Beat > 0 && (late || a.Beat%beatStep == 0):
		m.beginDoubt(a)
	case !lost.is(a.Src):
		return // perhaps another node with this priority
	}
	*lost = missed{}
}

// beginDoubt begins or renews the doubt about the master that was given up, in place of the oldest one.
func (m *Machine) beginDoubt(a Advert) {
	of := m.missed.suspect
	d := &m.doubts[0]
	for i := range m.doubts {
		o := &m.doubts[i]
		if o.was == of.srcs {
			d = o
			break
		}
		if o.until < d.until {
			d = o
		}
	}
	if d.was == of.srcs && a.At < d.until.Add(d.wait) {
		d.wait = min(2*d.wait, maxDoubt)
		d.times++
	} else {
		d.wait, d.times = minDoubt, 1
	}
	if d.was != of.srcs && d.until > a.At {
		m.allUntil = max(m.allUntil, d.until) // no room: the fault is probably this node's own
	}
	*d = doubt{
		suspect: of, was: of.srcs, until: a.At.Add(d.wait), wait: d.wait, times: d.times, last: a.At, promised: a.Beat,
	}
}

// watch follows the adverts of a master whose beats are in doubt. At the end of that time each of them is heard.
func (d *doubt) watch(a Advert) {
	if !d.is(a.Src) || a.At <= d.last {
		return
	}
	gap, promised := a.At.Sub(d.last), d.promised
	d.last, d.promised = a.At, a.Beat
	switch {
	case a.At < d.watchAt():
	case a.Withheld || a.Beat == 0 || a.Beat != promised: // what came before is not known, or it claims
		d.steady = 0
	case gap > downRatio*promised:
		d.steady, d.until = 0, a.At.Add(d.wait)
	case d.steady == 0:
		d.steady = a.At
	case a.At >= d.until && a.At.Sub(d.steady) >= watchTime:
		d.suspect, d.until = suspect{}, a.At
	}
}

// watchAt returns from when on each advert must be heard.
func (d *doubt) watchAt() Instant { return d.until.Add(-watchTime) }

// covers reports whether the master may have sent a: it may in a family in which its source is not known.
func (d *doubt) covers(a Advert) bool {
	f := FamilyOf(a.Src) - IPv4
	return d.is(a.Src) || !d.srcs[f].IsValid() && d.srcs[1-f].IsValid()
}

// doubted returns the doubt about the beats of the present master, or nil.
func (m *Machine) doubted() *doubt {
	for i := range m.doubts {
		if d := &m.doubts[i]; d.covers(m.heard) {
			return d
		}
	}
	return nil
}

// watches reports whether each advert of the present master must be heard, since the doubt about it may end soon.
func (m *Machine) watches() bool {
	d := m.doubted()
	return d != nil && m.now >= d.watchAt()
}

// noteEnded follows whether the adverts of a master state beats no longer. Before it hands over they do not, either, so
// only two intervals without are an end.
func (m *Machine) noteEnded(a Advert, before *Advert) {
	e := &m.ended
	switch {
	case a.Goodbye() || a.Beat > 0:
		*e = ended{}
	case before != nil && before.Beat > 0:
		*e = ended{src: a.Src, at: a.At}
	case a.Src == e.src && a.At.Sub(e.at) >= max(2*a.Priority.Interval(), time.Second):
		e.sure = true
	}
}

// distrust returns the state of the present master's beats for a View.
func (m *Machine) distrust() (d Distrust) {
	if m.state != Backup {
		return d
	}
	if of := m.doubted(); of != nil {
		d.Distrusted, d.DistrustUntil, d.DistrustTimes = of.srcs[0], of.until, of.times
		if !d.Distrusted.IsValid() {
			d.Distrusted = of.srcs[1]
		}
	}
	if m.now < m.allUntil && m.heardBeat > 0 && !d.Distrusted.IsValid() {
		d.Distrusted, d.DistrustUntil, d.DistrustTimes = m.heard.Src, m.allUntil, 1
	}
	if m.ended.sure {
		d.BeatsEnded = m.ended.at
	}
	return d
}
