// SPDX-License-Identifier: Apache-2.0

package election_test

import (
	"fmt"
	"time"

	"vipd/agent/election"
)

// check checks the invariants that hold at every moment.
func (s *segment) check() {
	for _, n := range s.nodes {
		for _, o := range s.nodes[:n.id] {
			s.checkPair(&n.both[o.id], n, o)
		}
		v := n.m.View()
		if v.State != n.role.State || v.Generation != n.role.Generation && v.State == election.Master {
			s.faults("%v: node %d: machine %v/%d, kernel %v/%d", s.time(), n.id, v.State, v.Generation, n.role.State,
				n.role.Generation)
		}
		if n.vips != (v.State == election.Master) {
			s.faults("%v: node %d: %v with addresses %v", s.time(), n.id, v.State, n.vips)
		}
		n.checkRate()
	}
}

// checkPair checks that two nodes own at the same time for at most the flight of one advert.
func (s *segment) checkPair(o *overlap, a, b *node) {
	switch {
	case !a.answering() || !b.answering():
		o.on = false
	case !o.on:
		o.on, o.since = true, s.now
	case s.now.Sub(o.since) > maxFlight+time.Millisecond && (!s.lossEver || s.now.Sub(s.lossAt) >= lossEcho):
		s.faults("%v: nodes %d and %d both own since %v without a loss\n%s", s.time(), b.id, a.id, time.Duration(o.since), s)
	}
}

func (n *node) checkRate() {
	for len(n.sends) > 0 && n.s.now.Sub(n.sends[0]) > time.Second {
		n.sends = n.sends[1:]
	}
	if len(n.sends) > n.s.maxRate {
		n.s.faults("%v: node %d: %d adverts in a second", n.s.time(), n.id, len(n.sends))
	}
}

// transition checks that a transition had its cause.
func (n *node) transition(t election.Transition) {
	n.transitions = append(n.transitions, t)
	fail := func(why string) {
		n.s.faults("%v: node %d: %v -> %v %v without a cause: %s (cause %+v)", n.s.time(), n.id, t.From, t.To, t.Reason, why,
			t.Cause)
	}
	if v := n.m.View(); v.State != t.To || v.Reason != t.Reason || v.Since != t.At || t.At != n.s.now || t.Lag < 0 {
		fail("it contradicts the view")
	}
	// The skew is not part of it: a running timer keeps the one it began with.
	down, late := 3*time.Second, election.Priority{AdvBase: n.cfg.AdvBase, AdvSkew: n.cfg.AdvSkew}.Interval()
	if n.cfg.AdvBase > 0 {
		late /= 4
	}
	switch {
	case n.record.Beat > 0:
		down = 3 * n.record.Beat
		if t.Cause == nil && n.before.DownTime < down+n.record.Beat {
			late = n.record.Beat
		}
	case n.cfg.AdvBase > 0:
	case n.record.Goodbye():
		down = 0
	default:
		down = 3 * n.record.Interval()
	}
	if t.To == election.Master && t.Lag > late && n.before.Extensions < 3 {
		fail("decided on a clock that was not watched")
	}
	// A claim before it is known whether the switch port forwards.
	if t.To == election.Master && t.Reason != election.ReasonGoodbye && n.s.now < n.delayed.Add(n.cfg.ClaimDelay) &&
		(t.Cause != nil || !n.heard || n.record.At < n.delayed) {
		fail("too soon after the link came up")
	}
	switch t.Reason {
	case election.ReasonMasterTimeout:
		if t.Cause == nil && n.heard && n.s.now.Sub(n.record.At) < down {
			fail(fmt.Sprintf("an advert was heard within the down time: %+v", n.record))
		}
		if t.Cause != nil && t.Cause.At < n.record.At {
			fail("not the newest advert")
		}
	case election.ReasonPreempt:
		if t.Cause == nil || t.Cause.At < n.record.At || !n.cfg.Preempt ||
			t.Cause.Priority.Interval() <= n.m.View().Effective.Interval() {
			fail("no newest advert that is worse")
		}
		if n.before.Hold != election.HoldNone && n.s.now < n.before.HoldUntil {
			fail("held back by " + n.before.Hold.String())
		}
	case election.ReasonGoodbye:
		if t.Cause == nil || t.Cause.At < n.record.At || !t.Cause.Goodbye() {
			fail("no newest advert that is a goodbye")
		}
	case election.ReasonBetterAdvert, election.ReasonEqualAdvert:
		if t.Cause == nil {
			if n.yielded < t0gen(n) {
				fail("the kernel has not yielded")
			}
		} else if !election.Superior(t.Cause.Priority, n.recorded, t.Cause.Aware) {
			fail("not superior to what the kernel compares with")
		}
	case election.ReasonDemoted:
		if t.To != election.Backup || t.Cause == nil ||
			n.before.Effective == (election.Priority{AdvBase: n.cfg.AdvBase, AdvSkew: n.cfg.AdvSkew}) {
			fail("not demoted")
		}
	case election.ReasonLeaseExpired:
		if n.yielded < t0gen(n) && (t.Cause == nil && !n.blind || n.answering()) {
			fail("still answering")
		}
	case election.ReasonYield:
		if !n.yields || t.To != election.Backup {
			fail("without a request")
		}
	case election.ReasonSendFailed:
		if !n.failed {
			fail("the last send worked")
		}
	default: // requested
		if !n.asked && n.wanted {
			fail("without a request")
		}
	}
}

// t0gen returns the present generation of the node.
func t0gen(n *node) uint64 { return n.m.View().Generation }

// String returns the state of all nodes, for failure messages.
func (s *segment) String() string {
	out := ""
	for _, n := range s.nodes {
		v := n.m.View()
		out += time.Duration(s.now).String() + " " + string(rune('0'+n.id)) + " " + v.State.String() + " " +
			v.Reason.String() +
			" since " + time.Duration(v.Since).String() + " lease " + time.Duration(v.Lease).String() + "\n"
		for _, t := range n.transitions {
			out += "    " + describe(t) + " at " + time.Duration(t.At).String() + "\n"
		}
	}
	return out
}
