// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"
	"time"

	"vipd/agent/election"
)

// overlap is two members of a group that answer at the same time.
type overlap struct {
	a, b  *member
	since time.Duration
	heard time.Duration // since when they can hear each other
}

const (
	// maxRate is how many adverts a member may send per second in any situation: a burst of 8, and one per tenth of
	// the interval.
	maxRate = 25
	// forgedLease is the longest lease that an attacker can state.
	forgedLease = 3 * 255 * time.Second
	// slack covers the rounding of clocks.
	slack = 20 * time.Millisecond
)

// down returns the longest time that a member waits for a master, without a tie.
func down(c election.Config) time.Duration {
	if c.MasterDown == election.DownOpenBSD && c.AdvBase > 0 {
		return 3 * interval(c)
	}
	skew := time.Duration(c.AdvSkew) * time.Second / 256
	if c.AdvBase == 0 {
		return 3*max(interval(c), time.Second) + skew
	}
	return 3*time.Duration(c.AdvBase)*time.Second + skew
}

func interval(c election.Config) time.Duration {
	return election.Priority{AdvBase: c.AdvBase, AdvSkew: c.AdvSkew}.Interval()
}

// echo returns how long a disturbance can explain an overlap: the longest wait for a master, and the same
// time until the two hear each other.
func echo(c election.Config) time.Duration {
	wait := 3*time.Duration(c.AdvBase) + 1
	if c.MasterDown == election.DownOpenBSD && c.AdvBase > 0 {
		wait += 2
	}
	return 2 * wait * time.Second
}

// crossing returns the limit of an overlap without loss: an advert on its way to the old owner, and one of
// the old owner, sent just before that arrived.
func (w *World) crossing() time.Duration { return 2 * w.net.flight }

// lost notes that m did not receive an advert.
func (w *World) lost(m *member, f *frame) {
	w.stats.Lost++
	if w.tracing {
		w.notef(m.host, m.group, "loses an advert from %s", w.nameOf(f))
	}
	w.blame(m, f)
}

// blame notes that m did not receive the last advert of f's sender.
func (w *World) blame(m *member, f *frame) {
	if f.from != nil {
		w.missed(m, f.from)
		w.captureMissing(f)
	}
}

// claimLost notes that a claim passed the egress program but was not sent. The agent ends the claim when it
// learns that, which may take as long as the claim.
func (w *World) claimLost(m *member) {
	for _, other := range m.group.members {
		if other != m {
			w.missed(other, m)
		}
	}
}

// missed notes that m did not receive the last advert of from.
func (w *World) missed(m, from *member) {
	if m.kernel.role.State == election.Init {
		return
	}
	g := m.group
	g.disturbed = w.now
	for i := range g.overlaps {
		if o := &g.overlaps[i]; o.a == m && o.b == from || o.b == m && o.a == from {
			o.heard = w.now
		}
	}
}

// forged notes that an attacker's advert was accepted.
func (w *World) forged(g *group) {
	w.stats.Forged++
	g.disturbed, g.forged = w.now, w.now
	for i := range g.overlaps {
		g.overlaps[i].heard = w.now
	}
}

// disturb notes that a clock stood still or that the configurations of members differ.
func (w *World) disturb(m *member) {
	m.group.disturbed = w.now
	m.altered = w.now
}

// forget removes m from the list of masters.
func (w *World) forget(m *member) {
	if i := slices.Index(m.group.masters, m); i >= 0 {
		m.group.masters = slices.Delete(m.group.masters, i, i+1)
	}
}

// check checks the invariants of a group that hold at every moment.
func (w *World) check(g *group) {
	answering := w.scratch[:0]
	for _, m := range g.masters {
		if w.answering(m) {
			answering = append(answering, m)
		}
	}
	w.scratch = answering
	switch {
	case len(answering) > 0:
		if g.gapOpen {
			w.stats.Gap = max(w.stats.Gap, w.now-g.gapSince)
		}
		g.gapOpen = false
		g.until = w.leaseEnd(answering[0])
	case !g.gapOpen:
		g.gapOpen, g.gapSince = true, min(w.now, g.until)
	}
	if len(answering) < 2 && len(g.overlaps) == 0 {
		return
	}
	w.checkOverlaps(g, answering)
}

func (w *World) checkOverlaps(g *group, answering []*member) {
	kept := g.overlaps[:0]
	for _, o := range g.overlaps {
		both := slices.Contains(answering, o.a) && slices.Contains(answering, o.b)
		end := w.now
		if !both {
			end = w.ended(o)
		}
		w.judge(g, &o, end)
		if both {
			kept = append(kept, o)
		}
	}
	g.overlaps = kept
	for i, a := range answering {
		for _, b := range answering[:i] {
			known := slices.ContainsFunc(g.overlaps, func(o overlap) bool {
				return o.a == a && o.b == b || o.a == b && o.b == a
			})
			if !known {
				g.overlaps = append(g.overlaps, overlap{a: a, b: b, since: w.now, heard: w.now})
				w.stats.Overlaps++
			}
		}
	}
}

// rash reports whether a peer may take over from a living owner without a loss, until that one advertises
// again: all peers do after the advert of a worse third node, and OpenBSD does because of the demote byte
// of a node that recognises it only by its second advert.
func (w *World) rash(p Peer) bool {
	return p != PeerNone && (w.Hosts > 2 || p == PeerOpenBSD && w.SendDemote)
}

// ended returns when a finished overlap ended: a lease may have expired since the last check.
func (w *World) ended(o overlap) time.Duration {
	end := w.now
	for _, m := range []*member{o.a, o.b} {
		if m.host.kernelRuns() && m.kernel.holds() {
			end = min(end, max(o.since, w.leaseEnd(m)))
		}
	}
	return end
}

// judge checks the length of an overlap.
func (w *World) judge(g *group, o *overlap, end time.Duration) {
	a, b := o.a, o.b
	w.stats.Overlap = max(w.stats.Overlap, end-o.since)
	equal := a.cfg.AdvBase == b.cfg.AdvBase
	if w.rash(a.host.peer) || w.rash(b.host.peer) {
		equal = false
	}
	quiet := g.disturbed+echo(a.cfg) <= o.since && max(a.rebased, b.rebased)+echo(a.cfg) <= o.since
	if equal && quiet && end-o.since > w.crossing() {
		w.fail(a, "overlap", "%s and %s both answer since %v, for %v, without a loss; the limit is %v",
			a.host.name, b.host.name, o.since, end-o.since, w.crossing())
	}
	mute := w.speechless(a.host) || w.speechless(b.host)
	if mute || a.host.failing+b.host.failing > 0 || !a.host.running() || !b.host.running() || a.releasing && b.releasing {
		o.heard = w.now
		return // no more adverts: their leases end this, which fence checks
	}
	heard := max(o.since, o.heard, a.altered, b.altered, a.healthy, b.healthy)
	limit := max(longest(a.cfg), longest(b.cfg))
	if w.rash(a.host.peer) || w.rash(b.host.peer) {
		limit += max(a.effective().Interval(), b.effective().Interval())
	}
	limit += w.crossing() + a.host.latency() + b.host.latency() + slack
	if end-heard > limit {
		w.fail(a, "overlap", "%s and %s both answer since %v, and hear each other since %v: more than %v",
			a.host.name, b.host.name, o.since, heard, limit)
	}
}

// longest returns the interval of a fully demoted member.
func longest(c election.Config) time.Duration {
	return election.Priority{AdvBase: c.AdvBase, AdvSkew: election.MaxSkew}.Interval()
}

// fence checks a takeover after silence (I1): an owner whose last advert was received must have stopped answering.
func (w *World) fence(m *member) {
	if m.cfg.AdvBase == 0 && m.group.forged+echo(m.cfg) > w.now {
		return // fast mode cannot detect a forged interval
	}
	for _, o := range m.group.masters {
		calm := m.cfg.AdvBase == o.cfg.AdvBase && max(m.rebased, o.rebased)+echo(m.cfg) <= w.now &&
			o.host.thawed <= o.sentAt
		if o.failed && o.host.clock.local(w.now) >= o.kernel.role.Lease {
			continue // see claimLost
		}
		if m.kernel.heardLast(o.goodbyes) {
			continue // it answers until the next advert of any node
		}
		unread := func(l lastSent) bool { return l != lastSent{} && slices.Contains(m.unread[:], l) }
		if slices.ContainsFunc(o.lastSent[:], unread) {
			continue // the ring was full
		}
		if o != m && calm && w.answering(o) && o.host.peer == PeerNone && m.kernel.heardLast(o.lastSent) {
			w.fail(m, "fence", "%s takes over after silence while %s answers until %v; it received its last advert, sent at %v",
				m.host.name, o.host.name, w.leaseEnd(o), o.sentAt)
		}
	}
}

// countSend checks the rate of a member's adverts.
func (w *World) countSend(m *member) {
	if second := w.now.Truncate(time.Second); second != m.second {
		m.second, m.inSecond = second, 0
	}
	m.inSecond++
	limit := maxRate
	if m.cfg.AdvBase == 0 {
		limit += 11 * 256 // one per tenth of the shortest interval, which a reload may just have ended
	}
	if w.Beat > 0 {
		limit += 11 * int(time.Second/w.Beat) // one per tenth of a beat
	}
	if m.inSecond > limit {
		w.fail(m, "rate", "%d adverts in a second", m.inSecond)
	}
}

// audit checks periodically for what no event shows: that something did not happen.
func (w *World) audit() {
	for _, h := range w.hosts {
		w.updateHalves(h) // an agent does this at least once per second
	}
	for _, g := range w.groups {
		w.check(g)
		if g.gapOpen {
			w.checkGap(g)
		}
		w.checkHalves(g)
		for _, m := range g.members {
			w.checkWait(m)
		}
		if w.stableSince > 0 {
			w.checkStable(g)
		}
	}
	w.queue.push(happening{at: w.now + auditEvery, kind: kindCall, call: w.audit})
}

const auditEvery = 500 * time.Millisecond

// checkGap checks that a healthy member takes over after its master-down time. Loss is no excuse: if no node answers,
// none advertises.
func (w *World) checkGap(g *group) {
	for _, m := range g.members {
		h := m.host
		if !w.well(m) || w.speechless(h) {
			continue
		}
		since := max(g.gapSince, m.healthy, g.disturbed)
		// A tie adds half an interval; a late timer after a pause adds one interval, once.
		limit := down(m.cfg) + interval(m.cfg)*3/2 + h.latency() + w.net.flight + auditEvery
		if m.cfg.AdvBase == 0 && g.forged > 0 {
			limit += max(m.machine.View().DownTime-down(m.cfg), 0) // a forged interval counts
		}
		if w.now-since > limit {
			w.fail(m, "gap", "no node answers since %v although %s is healthy since %v: more than %v\n%+v",
				g.gapSince, h.name, since, limit, m.machine.View())
			return
		}
	}
}

// checkStable checks that the best node is the only owner after everything was repaired.
func (w *World) checkStable(g *group) {
	var owner *member
	n := 0
	for _, m := range g.masters {
		if w.answering(m) {
			owner = m
			n++
		}
	}
	if n != 1 {
		w.fail(g.members[0], "stable", "%d owners after everything was repaired", n)
		return
	}
	if g.moved >= w.stableSince {
		w.fail(owner, "stable", "a transition at %v, on a quiet segment", g.moved)
	}
	if !w.Preempt {
		return
	}
	for _, m := range g.members {
		if m.host.demotion > 0 && g.forged+forgedLease > w.now {
			continue // it waits for a forged OpenBSD node without demotion, as long as its lease could last
		}
		if m.host.running() && m.wanted && w.preempts(m, owner) {
			w.fail(m, "stable", "%s is better than the owner, %s", m.host.name, owner.host.name)
			return
		}
	}
}

// preempts reports whether m must take over from a living owner.
func (w *World) preempts(m, owner *member) bool {
	mine, theirs := m.effective(), owner.effective()
	aware := m.host.peer == PeerOpenBSD || owner.host.peer == PeerOpenBSD
	return !election.Superior(theirs, mine, aware) && mine.Interval() < theirs.Interval()
}
