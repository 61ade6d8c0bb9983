// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"vipd/agent/election"
	"vipd/agent/wire"
)

// staggerStep is by how much more each host staggers its adverts than the one before.
const staggerStep = 270 * time.Millisecond

// World is one segment with its hosts.
type World struct {
	Scenario
	streams
	findings
	tracer

	now    time.Duration
	queue  queue
	alarms alarms
	hooks  Hooks

	net    network
	hosts  []*host
	groups []*group

	active      []*fault
	tape        []*frame      // what attackers have captured
	missing     []*frame      // of these, some that a host did not receive
	stableSince time.Duration // 0 while transitions are expected
	scratch     []*member
}

// streams are the sources of randomness.
type streams struct {
	latencies, losses, faults, clocks, attacks, halves, tapes, numbers, beats, claims, busy *stream
}

// findings are the results so far.
type findings struct {
	hash      traceHash
	stats     Stats
	violation *Violation
}

// tracer holds the trace of the segment.
type tracer struct {
	tracing bool
	log     []note
}

// Stats counts the events of a run.
type Stats struct {
	Frames
	Turns       int // of agents' loops
	Steps       int // of machines
	Transitions int
	Reasons     [32]int // transitions by election.Reason

	PeerTransitions, Adopted, AdoptedMaster int // of mixed runs

	Ordered  int // comparisons of two backups of one master
	InBeats  int // takeovers after silence that was counted in beats
	Unsent   int // claims after silence that could not be sent
	Faults   int
	ByKind   [64]int       // faults
	Overlaps int           // pairs of owners
	Overlap  time.Duration // the longest
	Gap      time.Duration // the longest time without an owner
}

// Frames counts adverts.
type Frames struct {
	Adverts    int // sent
	Deliveries int // frames that reached a kernel
	Rejected   int // of these
	Forged     int // accepted frames of an attacker
	Delayed    int // of these, unaltered ones of a vipd node that came late
	First      int // and those that came before their receiver had heard a genuine one
	Moved      int // transitions and yields because of either
	Lost       int
	Partial    int // sends that reached one family of two
	Withheld   int // adverts that woke no agent
	RingFull   int
}

// Total returns the number of events: frames that reached a kernel, and steps of machines.
func (s Stats) Total() int { return s.Deliveries + s.Steps }

// Add adds the counts of another run; Overlap and Gap are the longest of both.
func (s *Stats) Add(o Stats) {
	s.Adverts += o.Adverts
	s.Deliveries += o.Deliveries
	s.Rejected += o.Rejected
	s.Forged += o.Forged
	s.Delayed += o.Delayed
	s.First += o.First
	s.Moved += o.Moved
	s.Lost += o.Lost
	s.Partial += o.Partial
	s.RingFull += o.RingFull
	s.Withheld += o.Withheld
	s.Turns += o.Turns
	s.Steps += o.Steps
	s.Transitions += o.Transitions
	for i, n := range o.Reasons {
		s.Reasons[i] += n
	}
	s.PeerTransitions += o.PeerTransitions
	s.Adopted += o.Adopted
	s.AdoptedMaster += o.AdoptedMaster
	s.InBeats += o.InBeats
	s.Unsent += o.Unsent
	s.Ordered += o.Ordered
	s.Faults += o.Faults
	for i, n := range o.ByKind {
		s.ByKind[i] += n
	}
	s.Overlaps += o.Overlaps
	s.Overlap = max(s.Overlap, o.Overlap)
	s.Gap = max(s.Gap, o.Gap)
}

// newWorld creates the hosts of a scenario, powered off.
func newWorld(s Scenario, tracing bool) *World {
	w := &World{Scenario: s, hooks: s.Hooks, tracer: tracer{tracing: tracing}}
	w.latencies = newStream(s.Seed, "latency")
	w.losses = newStream(s.Seed, "loss")
	w.faults = newStream(s.Seed, "faults")
	w.clocks = newStream(s.Seed, "clocks")
	w.attacks = newStream(s.Seed, "attacks")
	w.halves = newStream(s.Seed, "halves")
	w.tapes = newStream(s.Seed, "tapes")
	w.numbers = newStream(s.Seed, "numbers")
	w.beats = newStream(s.Seed, "beats")
	w.claims = newStream(s.Seed, "claims")
	w.busy = newStream(s.Seed, "busy")
	config := newStream(s.Seed, "config")

	longest := time.Duration(0)
	for i := range w.net.latency {
		w.net.latency[i] = config.between(s.Latency/4, s.Latency)
		longest = max(longest, w.net.latency[i])
	}
	w.net.jitter = s.Latency / 4
	w.net.flight = 2 * (longest + w.net.jitter)
	for i := range s.Groups {
		w.groups = append(w.groups, newGroup(i, s.Families))
	}
	// A broadcast visits all members of a group, so they are adjacent in memory.
	members := make([]member, s.Hosts*s.Groups)
	machines := make([]election.Machine, len(members))
	for i := range members {
		members[i].machine = &machines[i]
	}
	for i := range s.Hosts {
		w.addHost(i, members, config)
	}
	return w
}

func newGroup(i int, families Families) *group {
	g := &group{vhid: uint8(i + 1), disturbed: -time.Hour, forged: -time.Hour, gapOpen: true}
	// Secret 0 is the normal one, 1 a wrong password, 2 a wrong address list, 3 the next password.
	addrs := [2][]netip.Addr{families.addresses(byte(i + 1))}
	addrs[1] = append(slices.Clone(addrs[0]), netip.AddrFrom4([4]byte{203, 0, 113, byte(i + 1)}))
	for n, pass := range []string{"", "drifted", "", "rotated"} {
		key, err := wire.NewKey([]byte("sim" + pass)) // all groups have one password, as most operators do
		if err != nil {
			panic(err) // the passphrases above are short
		}
		prefix := wire.DigestPrefix(g.vhid, addrs[boolWord(n == 2)], nil)
		g.secrets = append(g.secrets, secret{key, prefix, key.TrailerKey()})
	}
	return g
}

func (w *World) addHost(i int, members []member, config *stream) {
	h := &host{
		id: i, name: fmt.Sprintf("fw%d", i), class: int32(i % latencyClasses),
		addrs: [2]netip.Addr{
			netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
			netip.AddrFrom16([16]byte{0xfe, 0x80, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}),
		},
		scheduling: scheduling{lag: w.Lag}, receiving: receiving{ringCap: ringSize},
	}
	if w.numbers.chance(300) {
		h.slow = w.numbers.between(0, maxSlow)
	}
	if i == w.Hosts-1 {
		h.peer = w.Peer
	}
	if h.peer == PeerUCARP {
		h.addrs[0] = netip.AddrFrom4([4]byte{9, 0, 0, 1}) // the lowest: it stays
	}
	if w.Lag > 0 {
		h.lag = config.between(0, w.Lag)
	}
	if w.Drift > 0 {
		h.clock.ppm = int64(config.below(2*w.Drift+1) - w.Drift)
	}
	w.hosts = append(w.hosts, h)
	for n, g := range w.groups {
		m := &members[n*w.Hosts+i]
		m.id, m.host, m.group, m.accepts = i*w.Groups+n, h, g, 1
		m.cfg = election.Config{
			NodeName: h.name, AdvBase: w.AdvBase, AdvSkew: w.skew(i, n, config), Preempt: w.Preempt,
			DeadRatio: 3, SendDemote: w.SendDemote, MasterDown: w.MasterDown, DualStack: w.Families == FamilyDual,
			Stagger: time.Duration(i) * staggerStep,
		}
		switch h.peer {
		case PeerFreeBSD, PeerUCARP:
			m.cfg.MasterDown = election.DownFreeBSD
		case PeerOpenBSD:
			m.cfg.MasterDown = election.DownOpenBSD
		case PeerNone:
		}
		w.setBeat(h, m)
		m.normal = m.cfg
		m.kernel.role = election.SetRole{State: election.Init}
		h.members = append(h.members, m)
		g.members = append(g.members, m)
		g.classes[h.class] = append(g.classes[h.class], m)
	}
}

// at schedules a call of fn.
func (w *World) at(t time.Duration, fn func()) {
	w.queue.push(happening{at: t, kind: kindCall, call: fn})
}

// run handles all events until end, or until an invariant is violated.
func (w *World) run(end time.Duration) {
	for w.violation == nil {
		next, alarm := w.queue.next(), w.alarms.next()
		if min(next, alarm) > end {
			w.now = end
			return
		}
		if next <= alarm {
			w.happen(w.queue.pop())
		} else {
			w.ring()
		}
	}
}

func (w *World) happen(h happening) {
	w.now = h.at
	switch h.kind {
	case kindArrival:
		w.arrive(h.frame, h.class)
	case kindSingle:
		if f := h.frame; f.from != nil && f.from.nth > f.nth {
			w.blame(h.to, f) // a later frame of its sender may have overtaken it
		}
		w.deliver(h.to, h.frame)
	case kindTurn:
		h.host.turnDue = false
		w.turn(h.host, nil)
	case kindCall:
		h.call()
	}
}

// ring handles the next alarm of a machine.
func (w *World) ring() {
	first := w.alarms.heap[0]
	at := w.wakeFor(first.m)
	if at > first.at {
		w.alarms.put(at) // it rang too early
		return
	}
	w.now = first.at
	w.alarms.put(never)
	if first.m.host.peer != PeerNone {
		w.timePeer(first.m)
		return
	}
	w.turn(first.m.host, first.m)
}
