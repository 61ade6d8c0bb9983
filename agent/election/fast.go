// SPDX-License-Identifier: Apache-2.0

package election

import (
	"net/netip"
	"time"
)

// Fast mode, advbase 0, has an advert every advskew/256 s. The BSDs have no suitable rule (OpenBSD waits three of
// its *own* intervals), so vipd has its own:
//
//   - A BACKUP waits three intervals of the master, as stated by the master. That is never less than the master's
//     lease, whatever the configuration of either node.
//   - It then waits for its rank, advskew/256 s, so that the better of two backups advertises while the other still
//     waits. Backups with the same advskew differ by up to half a step, hashed from node and master; if that is too
//     close, the tie rule separates them.
//   - While no master was heard, it may be slower than this node (demoted, or with advbase 1): the assumed interval is
//     one second, or the last one heard if that is longer. A node that could not send counts as before, or as its last
//     advert said; see awaitAgain and awaitOthers.
//   - A decision that was not watched is postponed by one such interval.
//
// Why there is one owner (I1): a master's lease ends dead_ratio <= 3 of its last stated intervals after its last send,
// minus one hundredth. A backup that received that advert waits three of the same intervals from its receipt, plus its
// rank. So the lease ends first between nodes with advbase 0 and any advskew, and also if one of them has advbase 1: an
// advbase-1 backup waits three seconds, and an advbase-1 master has an interval of at least one second and a lease of
// at most three. If the master's interval shrinks, it cuts its lease before it sends the advert that says so. If it
// grows, the master goes on at the old pace, with the old lease, for twice the time that a backup waits that missed it.

const (
	rankParts       = 256
	unknownInterval = time.Second
	// minTieRange: half of a few milliseconds is less than the wake-up time of two agents.
	minTieRange = 20 * time.Millisecond
)

// wait returns the interval that a BACKUP counts in.
func (m *Machine) wait() time.Duration {
	if beat := m.counted(); beat > 0 {
		return beat
	}
	return m.assumed()
}

// assumed returns the interval that a BACKUP counts in without a beat: its own, or in fast mode the master's.
func (m *Machine) assumed() time.Duration {
	switch {
	case m.cfg.AdvBase > 0:
		return m.cfg.interval()
	case m.inRhythm:
		return m.rhythm
	default:
		return max(m.cfg.interval(), unknownInterval, m.rhythm)
	}
}

// rank returns the wait that orders the backups of one master: advskew/256 of the unit, which is a second in fast mode.
func (m *Machine) rank(unit time.Duration) time.Duration {
	var master netip.Addr
	if m.inRhythm {
		master = m.heard.Src
	}
	skew := unit * time.Duration(m.cfg.AdvSkew) / rankParts
	return skew.Truncate(time.Microsecond) + tieDelay(unit/rankParts, m.cfg.NodeName, master, m.generation)
}

// noteRhythm takes the master's interval and beat from the newest advert, unless that is a goodbye.
func (m *Machine) noteRhythm(a Advert) {
	if !a.Goodbye() {
		m.rhythm, m.heardBeat, m.inRhythm = a.Priority.Interval(), a.Beat, a.At >= m.backup.from
	}
}

// allQuiet returns when the leases of all nodes that were heard have ended: the newest advert may be that of a faster
// node while a slower one, which has not received it, still owns. Leases longer than with advbase 1 are ignored beside
// fast nodes, since they may be forged, and those longer than the ordinary down time beside beats.
func (m *Machine) allQuiet() (at Instant) {
	longest := downRatio * unknownInterval
	if m.cfg.AdvBase > 0 {
		longest = m.ordinaryDown()
	}
	for i := range m.speakers {
		if s := &m.speakers[i]; s.used {
			at = max(at, min(m.cfg.quiet(s.Advert), s.At.Add(longest)))
		}
	}
	return at
}

// tieRange returns the interval of which a node that is equal to the sender of a waits up to one half longer.
func (m *Machine) tieRange(a Advert) time.Duration {
	interval := m.cfg.interval()
	if a.Beat > 0 {
		interval = min(interval, a.Beat)
	}
	if a.Beat > 0 || m.cfg.AdvBase == 0 {
		interval = max(interval, minTieRange)
	}
	return interval
}
