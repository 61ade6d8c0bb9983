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
// decisions apply. If it has heard no master, or one that states no beat, the ordinary rules apply. A node that could
// not send counts as before, or as its last advert said; see awaitAgain and awaitOthers.
//
// A MASTER states no beat while it hands over or leaves, so that it can answer for longer than three beats after its
// goodbye, nor while it is impaired, nor when it has just started. Nor does a BACKUP count in beats then.
//
// Beats can be missing while the master lives: its agent runs late, or a switch polices multicast. A BACKUP that took
// over from a living master then counts in longer units for some time, see doubt.

const (
	// claimMark is added to the beat in a claim; it is an even number of microseconds otherwise. A claim says so that
	// there was a reason for silence before: the master was started, its link was down, or it stood still for so long that
	// the takeover was right. One that was late by at most minLateness claims without the mark.
	claimMark = time.Microsecond
	beatStep  = 2 * claimMark
	minDoubt  = time.Minute
	maxDoubt  = 60 * time.Minute
	// startTime is how long a machine that was started neither states nor counts beats: its process attaches programs and
	// reads what the host has, so that it, and a MASTER on the same processors, may not wake in time.
	startTime = time.Second
	// watchTime is how long beats are watched, each of them, before they are counted again.
	watchTime = 10 * time.Second
	// pauseRatio is how many of the longest pause that proved harmless a BACKUP waits.
	pauseRatio = 2
)

// beat returns the beat that the next advert states; 0 = none.
func (m *Machine) beat() time.Duration {
	switch {
	case m.cfg.Beat == 0 || m.handover.on || m.impaired() || m.phase == phaseEnding || m.starting(m.now):
		return 0
	case m.phase == phaseClaiming && !m.returns():
		return m.cfg.Beat + claimMark
	default:
		return m.cfg.Beat
	}
}

// starting reports whether the machine had just been started then, so that no beat counts.
func (m *Machine) starting(at Instant) bool { return at < m.started.Add(startTime) }

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
// hashed. Of two masters in step, the worse one would refuse the numbers of the better one if it does not know that
// yet: each would be a little below the number that the worse one has just sent. Without beats, two that are in step
// have the same priority, and the one that hears the other yields.
func (m *Machine) outOfStep(t0 Instant) time.Duration {
	if !m.master.rival || m.master.beat == 0 && m.heardBeat == 0 {
		return 0
	}
	return tieDelay(m.sendTime()/2, m.cfg.NodeName, m.heard.Src, uint64(t0))
}

// returns reports whether a claim is that of a master that was only a little late.
func (m *Machine) returns() bool { return m.now.Sub(max(m.late, m.master.lastSent)) <= minLateness }

// counted returns the unit in which a BACKUP counts: the beat, or a longer one while beats are in doubt; 0 = it counts
// in intervals.
func (m *Machine) counted() time.Duration {
	if m.state != Backup || !m.inRhythm || m.heardBeat == 0 || m.starting(max(m.heard.At, m.backup.from)) {
		return 0
	}
	unit := max(m.heardBeat, m.doubt.unit)
	if m.doubted() && downRatio*unit+m.rank(unit) >= m.ordinaryDown() {
		return 0
	}
	return unit
}

// missed is a master that this node gave up because its beats were missing.
type missed struct {
	srcs [2]netip.Addr // of its adverts, by family; invalid = not known
	last Instant       // when it was heard last
	down Instant       // end of its ordinary master-down time; 0 = there is no such master
}

// doubt follows a takeover from a master that then proved to be alive. Until it ends, the beats of all masters count as
// longer ones: the pause of which the takeover came is less than the new down time. It ends when beats were steady, not
// before a time that doubles each time that they prove wrong again soon after.
type doubt struct {
	unit   time.Duration // 0 = there is none, or it has ended
	of     netip.Addr    // the master
	until  Instant
	times  int
	steady Instant // since then each beat was in time; 0 = the last one was not
}

// giveUp follows a takeover after silence.
func (m *Machine) giveUp() {
	if m.counted() == 0 || m.heard.At < m.backup.from { // it counts in its own beat; see awaitOthers
		return
	}
	lost := missed{last: m.heard.At, down: m.heard.At.Add(m.ordinaryDown())}
	lost.srcs[FamilyOf(m.heard.Src)-IPv4] = m.heard.Src
	other := m.families[IPv6-FamilyOf(m.heard.Src)]
	if other.Ever && other.Priority == m.heard.Priority && m.heard.At.Sub(other.At) <= m.heardBeat/4 { // of the same send
		lost.srcs[FamilyOf(other.Src)-IPv4] = other.Src
	}
	m.missed = lost
}

// noteAlive follows a master that was given up and is heard again. Unless it says that there was a reason for its
// silence, the takeover was wrong.
func (m *Machine) noteAlive(a Advert) {
	lost := &m.missed
	if lost.down == 0 || a.At <= lost.last || lost.srcs[FamilyOf(a.Src)-IPv4] != a.Src {
		return
	}
	if a.At < lost.down && a.Beat > 0 && a.Beat%beatStep == 0 {
		m.beginDoubt(a)
	}
	*lost = missed{}
}

// beginDoubt begins or renews the doubt, after the pause that a has ended.
func (m *Machine) beginDoubt(a Advert) {
	d, lost := &m.doubt, &m.missed
	if a.At >= d.until.Add(d.wait()) {
		*d = doubt{}
	}
	d.times++
	d.unit = max(d.unit, pauseRatio*a.At.Sub(lost.last)/downRatio+1)
	d.until, d.steady = a.At.Add(d.wait()), 0
	if d.of = lost.srcs[0]; !d.of.IsValid() {
		d.of = lost.srcs[1]
	}
}

// wait returns how long the doubt lasts at least.
func (d *doubt) wait() time.Duration {
	return min(minDoubt<<min(max(d.times, 1)-1, 6), maxDoubt)
}

// watch follows the adverts during a doubt, each with the one before it. At the end of that time each of them is heard.
func (d *doubt) watch(a, before Advert) {
	switch {
	case d.unit == 0 || a.At < d.watchAt():
	case a.Withheld || a.Beat == 0 || a.Beat != before.Beat: // what came before is not known, or it claims
		d.steady = 0
	case a.At.Sub(before.At) > downRatio*a.Beat:
		d.steady, d.until = 0, a.At.Add(d.wait())
	case d.steady == 0:
		d.steady = a.At
	case a.At >= d.until && a.At.Sub(d.steady) >= watchTime:
		d.unit, d.until = 0, a.At
	}
}

// watchAt returns from when on each advert must be heard.
func (d *doubt) watchAt() Instant { return d.until.Add(-watchTime) }

// doubted reports whether a doubt makes this BACKUP count in longer units.
func (m *Machine) doubted() bool {
	return m.state == Backup && m.heardBeat > 0 && m.doubt.unit > m.heardBeat
}

// watches reports whether each advert of the present master must be heard, since its beats may soon count (again).
func (m *Machine) watches() bool {
	return m.heardBeat > 0 && m.starting(m.heard.At) || m.doubted() && m.now >= m.doubt.watchAt()
}

// ended is a master whose adverts no longer state a beat.
type ended struct {
	src  netip.Addr
	at   Instant
	sure bool
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

// distrust returns what is said of the beats in a View.
func (m *Machine) distrust() (d Distrust) {
	if m.state != Backup {
		return d
	}
	if of := &m.doubt; m.doubted() {
		d.Distrusted, d.DistrustUntil, d.DistrustTimes = of.of, of.until, of.times
	}
	if m.ended.sure {
		d.BeatsEnded = m.ended.at
	}
	return d
}
