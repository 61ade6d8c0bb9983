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
	// claimMark is added to the beat in a claim: peers can tell a master that claims anew from one that never paused.
	claimMark = time.Microsecond
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

// counted returns the beat in which a BACKUP counts; 0 = it counts in intervals.
func (m *Machine) counted() time.Duration {
	if m.state != Backup || !m.inRhythm || m.doubts() {
		return 0
	}
	return m.heardBeat
}

// missed is a master that this node gave up because its beats were missing.
type missed struct {
	srcs [2]netip.Addr // by family
	beat time.Duration
	last Instant // when it was heard last
	down Instant // end of its ordinary master-down time; 0 = there is no such master
}

// doubt is about a master that was given up because beats were missing, and then heard. Its beats are not counted for
// some time, which doubles if they prove wrong again soon after it, and which ends only after steady beats.
type doubt struct {
	missed missed

	srcs  [2]netip.Addr // by family; invalid = no doubt
	until Instant
	wait  time.Duration
	times int

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

func (d *doubt) covers(src netip.Addr) bool { return among(&d.srcs, src) }

func among(srcs *[2]netip.Addr, src netip.Addr) bool {
	return src.IsValid() && srcs[FamilyOf(src)-IPv4] == src
}

// giveUp follows a takeover after silence.
func (m *Machine) giveUp() {
	beat := m.counted()
	if beat == 0 {
		return
	}
	lost := missed{beat: beat, last: m.heard.At, down: m.heard.At.Add(m.ordinaryDown())}
	for i, f := range m.families {
		if f.Ever && f.Priority == m.heard.Priority && m.heard.At.Sub(f.At) <= minLateness {
			lost.srcs[i] = f.Src
		}
	}
	lost.srcs[FamilyOf(m.heard.Src)-IPv4] = m.heard.Src
	m.doubt.missed = lost
}

// noteAlive follows a master that was given up and is heard again. If it states the beat of before, it was there all
// the time. If it claims, its agent ran late, or was started again: that takes longer.
func (m *Machine) noteAlive(a Advert) {
	d := &m.doubt
	lost := d.missed
	if lost.down == 0 || a.At <= lost.last || !among(&lost.srcs, a.Src) {
		return
	}
	d.missed = missed{}
	late := a.At.Sub(lost.last) <= minLateness
	if a.At < lost.down && (a.Beat == lost.beat || a.Beat > 0 && late) {
		d.begin(lost.srcs, a)
	}
}

func (d *doubt) begin(srcs [2]netip.Addr, a Advert) {
	if d.wait > 0 && a.At < d.until.Add(d.wait) {
		d.wait = min(2*d.wait, maxDoubt)
		d.times++
	} else {
		d.wait, d.times = minDoubt, 1
	}
	d.srcs, d.until = srcs, a.At.Add(d.wait)
	d.last, d.promised, d.steady = a.At, a.Beat, 0
}

// watch follows the adverts of a master whose beats are in doubt. At the end of that time each of them is heard.
func (d *doubt) watch(a Advert) {
	if !d.covers(a.Src) || a.At <= d.last {
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
		d.srcs, d.until = [2]netip.Addr{}, a.At
	}
}

// watchAt returns from when on each advert must be heard.
func (d *doubt) watchAt() Instant { return d.until.Add(-watchTime) }

// doubts reports whether the beats of the present master are in doubt.
func (m *Machine) doubts() bool { return m.doubt.covers(m.heard.Src) }

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
	if m.doubts() {
		d.Distrusted, d.DistrustUntil, d.DistrustTimes = m.doubt.srcs[0], m.doubt.until, m.doubt.times
		if !d.Distrusted.IsValid() {
			d.Distrusted = m.doubt.srcs[1]
		}
	}
	if m.ended.sure && m.state == Backup {
		d.BeatsEnded = m.ended.at
	}
	return d
}
