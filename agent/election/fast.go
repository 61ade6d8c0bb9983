// SPDX-License-Identifier: Apache-2.0

package election

import (
	"net/netip"
	"time"
)

// Fast mode, advbase 0: an advert every advskew/256 s. The BSDs have no rule for it that
// serves (OpenBSD waits three of its *own* intervals), so this one is ours:
//
//   - A BACKUP waits three intervals of the master, as the master states them. That is
//     never less than the master's own lease, whatever either of them is configured to.
//   - Then comes its rank: advskew/256 s, so that of two backups the better one speaks
//     while the other still waits. Backups of equal advskew are told apart by up to half
//     a step, hashed from node and master; if that is too close, the tie rule parts them.
//   - As long as nobody was heard, the master may be slower than we are (demoted, or
//     with an advbase of 1): it is waited for as if its interval were a second, or what
//     it was when it was last heard, if that is longer.
//   - What the clock was not watched for is looked at again for one such interval.
//
// Why one owner holds (I1). A master's lease ends dead_ratio <= 3 of the intervals it last
// stated after its last send, less a hundredth; a backup that heard that advert waits three
// of the same intervals after hearing it, and its rank. So the lease is over first, between
// nodes of advbase 0 of any advskew, and with an advbase of 1 on either side: an advbase-1
// backup waits three seconds, and an advbase-1 master's interval is a second or more while
// its lease is three at most. A backup that missed the advert in which the interval grew
// wakes early: that is the case of a lost advert, and ends with the claim's flight if the
// claim is superior, else with the master's next advert.

const (
	rankStep    = time.Second / 256
	unknownBeat = time.Second
	// minTieRange: half of a few milliseconds is less than the wake-up of two agents.
	minTieRange = 20 * time.Millisecond
)

// beat is the interval in which a BACKUP counts: its own, or in fast mode the master's.
func (m *Machine) beat() time.Duration {
	switch {
	case m.cfg.AdvBase > 0:
		return m.cfg.interval()
	case m.inRhythm:
		return m.rhythm
	default:
		return max(m.cfg.interval(), unknownBeat, m.rhythm)
	}
}

// rank is the fast mode's offset among the backups of one master.
func (m *Machine) rank() time.Duration {
	var master netip.Addr
	if m.inRhythm {
		master = m.heard.Src
	}
	skew := Priority{AdvSkew: m.cfg.AdvSkew}.micros()
	return time.Duration(skew)*time.Microsecond + tieDelay(rankStep, m.cfg.NodeName, master, m.generation)
}

// keepTime takes the master's interval from the newest advert. A bow-out states none.
func (m *Machine) keepTime(a Advert) {
	if !a.Goodbye() {
		m.rhythm, m.inRhythm = a.Interval(), a.At >= m.backup.from
	}
}

// allQuiet is when the last lease of all that were heard is over: the newest advert may be
// that of a faster one while a slower one, which has not heard it, still owns. The lease of
// an advbase of 1 is the longest that is minded beside fast ones: longer ones are a forger's.
func (m *Machine) allQuiet() (at Instant) {
	for i := range m.speakers {
		if s := &m.speakers[i]; s.used {
			at = max(at, min(m.cfg.quiet(s.Advert), s.At.Add(downRatio*unknownBeat)))
		}
	}
	return at
}

// tieRange is the interval of which an equal node waits up to one half longer.
func (m *Machine) tieRange(interval time.Duration) time.Duration {
	if m.cfg.AdvBase == 0 {
		interval = max(interval, minTieRange)
	}
	return interval
}
