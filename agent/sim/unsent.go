// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"time"

	"vipd/agent/election"
)

// A claim cannot be sent while a queue is full, or if the kernel's configuration lock, which is held while a link
// changes, delays it beyond its end.

// claimFaults have their own stream, so that other runs do not change.
const claimFaults = FaultSet(1 << faultClaim)

// maxSeries is how many claims in a row a node makes within three seconds, if none can be sent: each waits for twice as
// long as the one before.
const maxSeries = 14

// strikeClaims starts claim faults until the given time.
func (w *World) strikeClaims(until time.Duration) {
	if w.Faults&claimFaults == 0 {
		return
	}
	w.recur(w.claims, w.Pace, until, w.beginClaim)
}

// beginClaim makes the next claim of a host fail, and those that follow within some time.
func (w *World) beginClaim() {
	f := &fault{kind: faultClaim}
	h := w.hosts[w.claims.below(len(w.hosts))]
	down := 3 * max(w.Beat, time.Millisecond)
	fails := w.claims.between(0, oneOf(w.claims, 1, 2*down, 20*down, 200*time.Millisecond, 5*time.Second))
	duration := w.claims.between(0, 20*time.Second)
	if !h.up || h.peer != PeerNone || h.claims.fail {
		return
	}
	h.claims = claimFault{fail: true, lasts: fails}
	f.what = fmt.Sprintf("%s, for %v", h.name, fails)
	f.end = func() { h.claims = claimFault{} }
	w.started(f, duration)
}

// claimFault makes the claims of a host fail from the first one on.
type claimFault struct {
	fail  bool
	lasts time.Duration
	until time.Duration // 0: none has failed yet
}

// fails reports whether a claim fails now.
func (c *claimFault) fails(now time.Duration) bool {
	if c.until == 0 {
		c.until = now + c.lasts
		return true
	}
	return now < c.until
}

// unsent is the series of claims that could not be sent since the last advert was heard.
type unsent struct {
	silence bool // the present term began after silence
	after   bool // so did all of the series
	count   int
	heard   election.Instant // the last advert
	first   election.Instant // claim of the series
	cfg     election.Config  // at that time
}

// retried checks what follows a term as MASTER that ended because nothing could be sent.
func (w *World) retried(m *member, t election.Transition, v election.View) {
	if m.kernel.role.Lease > 0 {
		w.retriedOwner(m, t, v)
	} else {
		w.retriedClaim(m, t, v)
	}
}

// retriedOwner checks that a node that could not renew its lease waits no longer than its peers do, unless it heard
// another one.
func (w *World) retriedOwner(m *member, t election.Transition, v election.View) {
	m.unsent, m.owned = unsent{}, t.At
	wait, unit := v.Next.Sub(t.At), 4*m.unit(m.stated.Interval())
	switch {
	case m.stated == election.Advert{} || v.Heard && t.At.Sub(v.Master.At) <= down(m.cfg) || m.group.forged > 0:
		return
	case m.stated.Beat > 0:
	case m.cfg.AdvBase == 0:
		unit = 3*m.stated.Interval() + interval(m.cfg) + 10*time.Millisecond
	default:
		return
	}
	if wait > min(unit, down(m.cfg)) {
		w.fail(m, "retry", "waits %v after it could not send, more than %v: %+v", wait, unit, v)
	}
}

// retriedClaim checks that a node whose claim could not be sent waits no longer than the silence has lasted, nor makes
// many claims in a short time.
func (w *World) retriedClaim(m *member, t election.Transition, v election.View) {
	u := &m.unsent
	if v.Master.At != u.heard || u.count == 0 {
		*u = unsent{silence: u.silence, after: true, heard: v.Master.At, first: t.At, cfg: m.cfg}
	}
	u.count++
	u.after = u.after && u.silence && m.cfg == u.cfg
	if !u.after || !v.Heard || v.Master.Goodbye() || m.rebased+echo(m.cfg) > w.now {
		return
	}
	w.stats.Unsent++
	wait, silence := v.Next.Sub(t.At), t.At.Sub(v.Master.At)
	limit := silence + 2*m.unit(v.Master.Beat) // the rank, and that of another generation
	switch {
	case m.cfg.AdvBase == 0 && v.Master.Beat == 0:
		limit = silence + interval(m.cfg) + 10*time.Millisecond
	case silence >= minDown(m.cfg):
		limit = max(limit, down(m.cfg)+interval(m.cfg))
	}
	if wait > limit {
		w.fail(m, "retry", "waits %v after a claim that it could not send, and %v of silence: %+v", wait, silence, v)
	}
	if series := t.At.Sub(u.first); u.count > maxSeries+int(series/(2*time.Second)) {
		w.fail(m, "retry", "makes %d claims in %v that it cannot send: %+v", u.count, series, v)
	}
}
