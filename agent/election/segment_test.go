// SPDX-License-Identifier: Apache-2.0

package election_test

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"vipd/agent/election"
)

// segment is a model of an Ethernet segment with vipd nodes: the real machines, and the part of the data
// plane that fences them (role entry, lease, yield, last advert, a small ring). Time is virtual; events
// happen in order of time, then of node.
type segment struct {
	now     election.Instant
	nodes   []*node
	flights []flight
	faults  func(format string, args ...any) // reports a broken invariant

	maxRate  int              // the most adverts that a node may send per second
	lossAt   election.Instant // last time a frame was lost
	lossEver bool
}

type overlap struct {
	on    bool
	since election.Instant
}

const (
	maxFlight = 5 * time.Millisecond
	ringSize  = 4
	// lossEcho is how long a loss can explain two owners: the longest wait for a master, and one interval
	// until they hear each other.
	lossEcho    = 8 * time.Second
	rateAtBase1 = 25
)

type flight struct {
	at   election.Instant
	to   int
	from int
	v6   bool
	p    election.Priority
	beat time.Duration
}

type node struct {
	s    *segment
	id   int
	addr [2]netip.Addr
	m    *election.Machine
	cfg  election.Config

	// kernel
	role     election.SetRole
	recorded election.Priority
	yielded  uint64
	ring     []election.Advert
	record   election.Advert
	heard    bool
	refuses  bool // the budget is used up: adverts are dropped unread
	refused  bool // since the last tick
	blind    bool // ever

	// agent
	lag       time.Duration
	paused    bool
	given     election.Instant // At of the newest advert given to the machine
	sendFails bool
	failed    bool // the last send
	demotion  int
	before    election.View
	delayed   election.Instant // start of Config.ClaimDelay
	lastSent  election.Instant
	wakes     int // at this instant
	wokeAt    election.Instant

	// host
	linkUp bool
	vips   bool
	deaf   [4]bool // nodes whose frames it does not receive
	flight time.Duration
	lands  election.Instant // arrival of the last frame

	both        [4]overlap // with nodes of a lower id
	wanted      bool       // not released
	transitions []election.Transition
	sends       []election.Instant
	asked       bool // the operator or the link requests something now
	yields      bool // the operator has requested a handover before
	unanswered  int  // handovers without a result
}

func newSegment(n int, faults func(string, ...any)) *segment {
	s := &segment{faults: faults, maxRate: rateAtBase1}
	for i := range n {
		nd := &node{s: s, id: i, linkUp: true, wanted: true}
		nd.addr[0] = netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + i)})
		nd.addr[1] = netip.AddrFrom16([16]byte{0xfe, 0x80, 15: byte(10 + i)})
		nd.cfg = election.Config{NodeName: fmt.Sprintf("fw%d", i), AdvBase: 1, DeadRatio: 3, SendDemote: true}
		nd.flight = time.Millisecond
		nd.m = election.New(nd.cfg, 0, 0)
		nd.role = election.SetRole{State: election.Init}
		s.nodes = append(s.nodes, nd)
	}
	return s
}

func (n *node) answering() bool {
	return n.linkUp && n.role.State == election.Master && n.s.now < n.role.Lease && n.yielded < n.role.Generation
}

// wakeAt returns when the agent next acts by itself.
func (n *node) wakeAt() election.Instant {
	if n.paused {
		return election.Never
	}
	at := election.Never
	if len(n.ring) > 0 {
		at = n.ring[0].At
	}
	if d, ok := n.m.Deadline(); ok {
		at = min(at, d)
	}
	if at == election.Never {
		return at
	}
	return max(at.Add(n.lag), n.s.now)
}

// advance moves the time forward and handles all events until then.
func (s *segment) advance(d time.Duration) {
	end := s.now.Add(d)
	for {
		at, who := end, -1
		for i, n := range s.nodes {
			if w := n.wakeAt(); w < at {
				at, who = w, i
			}
		}
		f := -1
		for i := range s.flights {
			if s.flights[i].at < at || s.flights[i].at == at && who >= 0 {
				at, who, f = s.flights[i].at, -1, i
			}
		}
		s.now = at
		switch {
		case f >= 0:
			fl := s.flights[f]
			s.flights = slices.Delete(s.flights, f, f+1)
			s.nodes[fl.to].receive(fl)
		case who >= 0:
			s.nodes[who].countWake()
			s.nodes[who].wake()
		default:
			s.check()
			return
		}
		s.check()
	}
}

// receive models the XDP program.
func (n *node) receive(f flight) {
	if !n.linkUp {
		return // in INIT: it waits a whole down time after the link returns
	}
	if n.deaf[f.from] {
		n.s.lossAt, n.s.lossEver = n.s.now, true
		return
	}
	if n.refuses {
		n.refused, n.blind = true, true
		n.s.lossAt, n.s.lossEver = n.s.now, true
		return
	}
	a := election.Advert{
		At:         n.s.now,
		Src:        n.s.nodes[f.from].addr[family(f.v6)],
		Priority:   f.p,
		Beat:       f.beat,
		Generation: n.role.Generation,
	}
	if n.role.State == election.Master && n.yielded < n.role.Generation {
		speaking := n.s.now < max(n.role.Lease, n.role.SendUntil)
		if !speaking || election.Superior(a.Priority, n.recorded, a.Aware) {
			n.yielded, a.Yielded = n.role.Generation, true
		}
	}
	n.record, n.heard = a, true
	if len(n.ring) < ringSize {
		n.ring = append(n.ring, a) // otherwise lost from the ring
	}
}

// wake is one iteration of the agent's loop.
func (n *node) wake() {
	ring := n.ring
	n.ring = nil
	for _, a := range ring {
		n.given = a.At
		n.step(a)
	}
	n.catchUp()
	n.step(election.Tick{Blind: n.refused})
	n.refused = false
	if d, ok := n.m.Deadline(); ok && d <= n.s.now {
		n.s.faults("%v: node %d: after a tick the next deadline is %v: %+v", n.s.time(), n.id, time.Duration(d), n.m.View())
	}
}

// countWake detects an agent that is woken repeatedly at one instant.
func (n *node) countWake() {
	if n.wokeAt != n.s.now {
		n.wokeAt, n.wakes = n.s.now, 0
	}
	if n.wakes++; n.wakes > 5 {
		n.s.faults("%v: node %d: busy loop: %+v", n.s.time(), n.id, n.m.View())
	}
}

// catchUp applies what the kernel saw last and the ring lost.
func (n *node) catchUp() {
	if n.heard && n.record.At > n.given {
		n.given = n.record.At
		n.step(n.record)
	}
	if v := n.m.View(); v.State == election.Master && n.yielded >= v.Generation {
		n.step(election.Yielded{Generation: n.yielded})
	}
}

func (n *node) step(ev election.Event) {
	const sends = 0
	n.before = n.m.View()
	n.carryOut(n.m.Step(n.s.now, ev, nil), sends)
	if v := n.m.View(); v.HandingOver != (n.unanswered > 0) {
		n.s.faults("%v: node %d: yielding %v with %d requests without an answer", n.s.time(), n.id, v.HandingOver,
			n.unanswered)
	}
}

// restart replaces the agent by a new process, which adopts the state of the data plane.
func (n *node) restart() {
	from := election.Adopted{
		State: n.role.State, Generation: n.role.Generation, Lease: n.role.Lease, SendUntil: n.role.SendUntil,
		Yielded: n.yielded >= n.role.Generation, Priority: n.recorded, LastSent: n.lastSent, Demotion: n.demotion,
	}
	answering, was, kept := n.answering(), n.m.View(), n.m.Kept()
	n.delayed = n.s.now
	if from.State == election.Master {
		n.delayed = -election.Never // its port forwards
	}
	var out []election.Action
	n.m, out = election.Adopt(n.cfg, n.s.now, from, nil)
	n.given, n.unanswered = 0, 0
	n.carryOut(out, 0)
	n.step(election.Restore{Kept: kept})
	v := n.m.View()
	persistent := was.Hold == election.HoldYield || was.Hold == election.HoldSendFailed
	if was.State == election.Backup && v.State == election.Backup && v.Hold != was.Hold && was.HoldUntil > n.s.now &&
		persistent && v.Hold != election.HoldClaimDelay {
		n.s.faults("%v: node %d: a restart turned the hold %v into %v", n.s.time(), n.id, was.Hold, v.Hold)
	}
	if answering != n.answering() {
		n.s.faults("%v: node %d: a restart changed answering to %v", n.s.time(), n.id, !answering)
	}
	n.wake()
}

func (n *node) carryOut(out []election.Action, sends int) {
	for _, a := range out {
		switch a := a.(type) {
		case election.SetRole:
			n.setRole(a)
		case election.SetPriority:
			n.recorded = a.Priority
		case election.AddVIPs, election.RenewVIPs:
			n.vips = true
		case election.RemoveVIPs:
			n.vips = false
		case election.SendAdvert:
			if sends++; sends > 1 {
				n.s.faults("%v: node %d: two sends in one step", n.s.time(), n.id)
			}
			defer n.send(a)
		case election.Transition:
			n.transition(a)
		case election.HandoverResult:
			if n.unanswered == 0 || a.Outcome.String() == "invalid" || a.Took < 0 {
				n.s.faults("%v: node %d: %+v without a request", n.s.time(), n.id, a)
			}
			n.unanswered = 0
		case election.Released:
			if n.m.View().State != election.Init || n.vips {
				n.s.faults("%v: node %d: released in %v, vips %v", n.s.time(), n.id, n.m.View().State, n.vips)
			}
		case election.Announce:
			if !n.answering() && n.yielded < n.role.Generation {
				n.s.faults("%v: node %d: announces without answering", n.s.time(), n.id)
			}
		}
	}
}

func (n *node) setRole(r election.SetRole) {
	if r.Generation < n.role.Generation {
		n.s.faults("%v: node %d: generation went from %d to %d", n.s.time(), n.id, n.role.Generation, r.Generation)
	}
	if r.State == election.Master && n.role.State != election.Master &&
		(r.Lease != 0 || r.Generation <= n.role.Generation) {
		n.s.faults("%v: node %d: became MASTER with %+v after %+v", n.s.time(), n.id, r, n.role)
	}
	n.role = r
}

// send is the agent's sender with the egress program behind it.
func (n *node) send(a election.SendAdvert) {
	n.catchUp() // the agent checks what the kernel saw last before each send
	v := n.m.View()
	if v.State != election.Master || !a.Goodbye && v.Leaving {
		return
	}
	if !a.Goodbye && n.s.now >= max(n.role.Lease, n.role.SendUntil) {
		n.s.faults("%v: node %d: wants to send with lease %v, send-until %v",
			n.s.time(), n.id, time.Duration(n.role.Lease), time.Duration(n.role.SendUntil))
	}
	n.sends = append(n.sends, n.s.now)
	ok := !n.sendFails && n.linkUp
	n.failed = !ok
	if ok {
		n.put(flight{from: n.id, p: a.Priority, beat: a.Beat})
		if n.cfg.DualStack {
			n.put(flight{from: n.id, p: a.Priority, beat: a.Beat, v6: true})
		}
	}
	if ok && !a.Goodbye {
		n.lastSent = n.s.now
	}
	n.step(election.Sent{T0: n.s.now, Goodbye: a.Goodbye, OK: ok})
}

// put sends a frame to all others. Frames of one sender do not overtake each other, and no two frames
// arrive in the same nanosecond.
func (n *node) put(f flight) {
	n.lands = max(n.lands.Add(time.Microsecond), n.s.now.Add(n.flight+time.Duration(n.id)))
	f.at = n.lands
	for i := range n.s.nodes {
		if i != n.id {
			f.to = i
			n.s.flights = append(n.s.flights, f)
		}
	}
}

func family(v6 bool) int {
	if v6 {
		return 1
	}
	return 0
}

func (s *segment) time() time.Duration { return time.Duration(s.now) }
