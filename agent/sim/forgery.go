// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"time"

	"vipd/agent/election"
)

// forgeries is what the invariants need to judge adverts of attackers.
type forgeries struct {
	setUp  time.Duration    // when the data plane was set up
	newest time.Duration    // when the newest genuine advert was sent, of a peer or its own, since then
	lead   int64            // of its number
	learnt time.Duration    // when such an advert of a peer was received last
	copyAt election.Instant // when an attacker's advert was accepted last under the address of a vipd node
	news   bool             // nothing newer than that had been heard or sent
	copy   *frame
}

// attacked reports whether frames are captured in this run.
func (w *World) attacked() bool {
	return w.Faults&(1<<faultReplay|1<<faultForge|1<<faultGarbage|1<<faultTape) != 0
}

// bit identifies a host in frame.takers. With so many hosts there is no attacker.
func (h *host) bit() uint64 { return 1 << (h.id & 63) }

// genuine returns the frame that f is, or repeats byte by byte, or nil.
func (f *frame) genuine() *frame {
	if f.from != nil {
		return f
	}
	return f.copied
}

// protected reports whether m must take f for a vipd node's, if for anything.
func (w *World) protected(m *member, f *frame) bool {
	if w.Trailers == TrailersRequired || w.trailed(f) {
		return true
	}
	if w.Trailers == TrailersOff {
		return false
	}
	now := m.host.clock.local(w.now)
	return m.host.owns(f.advert.Src) || m.kernel.remembers(f.advert.Src, now, w.PeerMemory)
}

// checkForged checks an attacker's frame that the data plane of m is about to accept. Under the address of a vipd node
// only an unaltered advert may pass, once, and not late, or before the receiver has heard a genuine one.
func (w *World) checkForged(m *member, f *frame) {
	if !w.protected(m, f) {
		return
	}
	o, p := f.copied, m.kernel.peer(f.advert.Src)
	if o == nil {
		w.fail(m, "forgery", "accepts an altered advert from %v: %+v", f.advert.Src, f.advert.Advert)
		return
	}
	m.copyAt, m.copy = m.host.clock.local(w.now), o
	m.news = o.at+2*crossing >= m.newest || m.isAhead(f)
	switch {
	case o.at >= m.setUp && o.takers&m.host.bit() != 0:
		w.fail(m, "forgery", "accepts an advert from %v, sent at %v, once more", f.advert.Src, o.at)
	case m.newest == 0 || p != nil && p.fake:
		w.stats.First++
	case p == nil && !m.news:
		w.fail(m, "forgery", "accepts an advert from %v, sent at %v, although it has heard or sent a newer one at %v",
			f.advert.Src, o.at, m.newest)
	default:
		w.stats.Delayed++
		if p == nil {
			break
		}
		if age, limit := w.now-o.at, w.lateness(m, p, f); age > limit {
			w.fail(m, "forgery", "accepts an advert from %v that is %v old: more than %v", f.advert.Src, age, limit)
		}
	}
}

// isAhead reports whether the sender's numbers were ahead of those in the newest advert that m knows: m cannot know
// then that this one is older.
func (m *member) isAhead(f *frame) bool {
	return lead(f.advert.Advert.Counter, f.copied.at) > m.lead+int64(crossing/time.Microsecond)
}

// lead returns how far a number is ahead of the true time.
func lead(number uint64, sentAt time.Duration) int64 {
	return int64(number) - int64(sentAt/time.Microsecond)
}

// newer notes an advert of a peer, or an own one.
func (m *member) newer(number uint64, sentAt time.Duration) {
	if sentAt >= m.newest {
		m.newest, m.lead = sentAt, lead(number, sentAt)
	}
}

// lateness returns how old a frame of a peer may be that is accepted.
func (w *World) lateness(m *member, p *peer, f *frame) time.Duration {
	limit := numberSlackIntervals*p.interval + numberSlack + slack
	b := &p.base
	// The number of its sender may have jumped ahead, to one that it heard or that was reserved.
	jump := time.Duration(f.advert.Advert.Counter-b.number)*time.Microsecond - (f.copied.at - b.sentAt)
	frozen := (w.now - b.taken) - m.host.clock.local(w.now).Sub(b.at)
	return limit + max(jump, 0) + max(frozen, 0) + (b.taken - b.sentAt) + (w.now-b.taken)*27/100
}

// base is the last genuine advert of a peer, against which adverts of attackers are judged.
type base struct {
	number        uint64
	at            election.Instant
	taken, sentAt time.Duration // true times
}

// took notes that m accepted f.
func (w *World) took(m *member, f *frame, knew bool) {
	o := f.genuine()
	if o == nil {
		return
	}
	o.takers |= m.host.bit()
	if f.from != nil && w.trailed(f) {
		m.newer(f.advert.Advert.Counter, o.at)
		m.learnt = w.now
	}
	p := m.kernel.peer(f.advert.Src)
	if p == nil || !w.trailed(f) || f.from == nil && knew && !p.fake {
		return
	}
	p.fake = f.from == nil
	p.base = base{f.advert.Advert.Counter, p.at, w.now, o.at}
}

// checkMoved checks that an attacker's advert that yields or causes a transition is no older than what its receiver has
// heard and sent.
func (w *World) checkMoved(m *member, at election.Instant, what string) {
	if at != m.copyAt || m.copyAt == 0 {
		return
	}
	w.stats.Moved++
	if !m.news {
		w.fail(m, "forgery", "%s because of an advert that an attacker kept since %v; it has heard or sent a newer one at %v",
			what, m.copy.at, m.newest)
	}
}

// isNews reports whether f was sent after all that m has accepted from its sender: f was not merely overtaken.
func (w *World) isNews(m *member, f *frame) bool {
	p := m.kernel.peer(f.src)
	return p == nil || p.fake || p.base.sentAt < f.at
}

// checkHeard checks a genuine advert that was refused as a replay although it is none: its sender must not have heard
// this host since this one knows that number, and so have numbers above it.
func (w *World) checkHeard(m *member, f *frame) {
	mine, x := m.kernel.peer(f.src), f.from
	theirs := x.kernel.peer(m.host.addrs[boolWord(f.src.Is6())])
	late := w.now-f.at > crossing || theirs != nil && theirs.base.taken-theirs.base.sentAt > crossing
	if mine == nil || theirs == nil || theirs.fake || late {
		return
	}
	knew := max(mine.base.taken, m.learnt, m.host.jumped) + m.host.latency() + w.net.flight
	read := max(theirs.base.taken, x.healthy, x.host.thawed) + interval(x.cfg) + x.host.latency()
	if theirs.base.sentAt > max(knew, m.healthy, m.host.thawed) && f.at > read {
		w.fail(m, "heard", "refuses the advert that %s sent at %v although that one heard it at %v",
			x.host.name, f.at, theirs.base.taken)
	}
}
