// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"net/netip"
	"time"

	"vipd/agent/election"
)

// group is one redundancy group on the segment.
type group struct {
	vhid    uint8
	secrets []secret
	members []*member
	classes [latencyClasses][]*member // by latency, in order of host

	// What the invariants need.
	masters   []*member // kernels with role MASTER, of hosts that are up
	overlaps  []overlap
	disturbed time.Duration // an advert was lost, forged, or a clock stood still: the last time
	forged    time.Duration // the last time an attacker's was accepted
	gapOpen   bool
	gapSince  time.Duration
	until     time.Duration // the lease of an owner that was found last
	moved     time.Duration // the last transition of any member
	rotating  bool
}

// member is a group on a host.
type member struct {
	id    int // in the world
	host  *host
	group *group
	slot  int32         // in the alarms' heap + 1
	alarm time.Duration // what it is set to, if it is

	kernel  kernel
	machine *election.Machine

	// The agent's.
	cfg       election.Config
	signs     int    // number of the secret for our adverts
	accepts   uint64 // numbers of those of the peers, as bits
	counter   uint64
	stamp     election.Instant // of the last frame
	lastHeard election.Instant
	heardSeq  uint64
	untold    *member          // whose advert is in the record, and did not get into the ring
	untoldAt  election.Instant // when it was heard
	wanted    bool             // not disabled
	vips      bool
	releasing bool // disabled, and the handover goes on
	touched   bool // heard something in this turn

	// What the invariants need.
	asked      bool // the operator or the link asks for something right now
	failed     bool // the last send
	late       int  // looks of the present wait that came late
	patience   time.Duration
	sentAt     time.Duration // last successful send
	lastSent   [2]lastSent   // its adverts
	altered    time.Duration // last change of configuration or priority
	rebased    time.Duration // last change of advbase
	healthy    time.Duration // since when nothing is wrong with it
	second     time.Duration // adverts per second: the second
	inSecond   int           // and how many
	normal     election.Config
	wokeAt     time.Duration
	wakes      int
	transition int

	due election.Instant // timer of a peer
}

// lastSent is what tells an advert from others.
type lastSent struct {
	src     netip.Addr
	counter uint64
}

// ringEvent is an entry of the host's event ring.
type ringEvent struct {
	m *member
	seen
}

// host is a machine with a kernel and an agent.
type host struct {
	id      int
	name    string
	addrs   [2]netip.Addr // IPv4 and IPv6
	peer    Peer
	class   int32
	clock   clock
	members []*member

	up        bool // power
	agent     bool // the process exists
	held      int  // faults that stop the agent
	suspended bool // the machine sleeps; its clock does not
	link      bool

	lag      time.Duration // from a reason to run to running
	starved  int           // faults that stretch lag
	napUntil time.Duration // timers do not fire before: Go's do not count a suspend
	turnDue  bool          // a turn for the ring is queued
	blocked  *stall        // the agent hangs between t0 and send

	ring    []ringEvent
	spare   []ringEvent
	ringCap int
	backlog []*arrival // frames that wait while the machine is frozen

	seals    bool // sends sealed adverts, and refuses replays of them
	sequence uint32

	queue    []election.Action
	next     int
	demotion int
	failing  int // faults that make sends fail
	stalling int // faults that make a send hang
	thawed   time.Duration
	lands    [latencyClasses]time.Duration // of its last frame: they do not overtake

	log []note
}

type arrival struct {
	m *member
	f *frame
}

// stall is a send that hangs after t0 was taken, before the frame is out or after.
type stall struct {
	m    *member
	act  election.SendAdvert
	t0   election.Instant
	sent bool
	ok   bool // it went out
	anew bool // it hung before, while the addresses were put on the host
}

// running reports whether the agent gets to run.
func (h *host) running() bool {
	return h.up && h.agent && h.held == 0 && !h.clock.frozen && !h.suspended && h.blocked == nil
}

// kernelRuns reports whether frames are taken in.
func (h *host) kernelRuns() bool { return h.up && !h.clock.frozen && !h.suspended }

// latency is how long the agent takes to wake up.
func (h *host) latency() time.Duration {
	if h.starved > 0 {
		return h.lag + starvedLag
	}
	return h.lag
}

const (
	starvedLag   = 180 * time.Millisecond
	backlogSize  = 32
	ringSize     = 4096
	tinyRingSize = 1
)

// answering is what the segment sees: the kernel's word, on a machine that runs and is
// connected.
func (w *World) answering(m *member) bool {
	h := m.host
	return h.kernelRuns() && h.link && m.kernel.answering(h.clock.local(w.now))
}

// leaseEnd is when a member that answers now will not any more.
func (w *World) leaseEnd(m *member) time.Duration {
	return m.host.clock.when(m.kernel.voice(), 0)
}

// boot starts a machine that was off.
func (w *World) boot(h *host) {
	h.up, h.link, h.suspended, h.thawed = true, true, false, 0
	h.clock = clock{at: w.now, read: election.Instant(w.clocks.between(time.Second, time.Hour)), ppm: h.clock.ppm}
	w.startAgent(h)
}

// startAgent starts vipd, which adopts a dead one's data plane, or takes it away first.
func (w *World) startAgent(h *host) {
	h.agent, h.demotion, h.napUntil = true, 0, 0
	h.sequence += 1 << 16 // as reserved on disk: it only rises
	highest := h.highest()
	for _, m := range h.members {
		adopts := w.Adopt && m.kernel.pinned && h.peer == PeerNone
		if !adopts {
			w.resetKernel(m)
		}
		m.wanted = true // the disable switch is gone at reboot, and with the daemon in this model
		m.stamp, m.lastHeard, m.heardSeq, m.late = 0, 0, 0, 0
		m.vips, m.releasing, m.patience = m.vips && adopts, false, 0
		m.counter = w.clocks.uint64()
		m.altered, m.rebased, m.healthy = w.now, w.now, w.now
		m.kernel.pinned = true
		if adopts {
			w.adopt(m, highest)
		} else {
			*m.machine = *election.New(m.cfg, h.clock.local(w.now), 0)
		}
	}
	if !w.Adopt {
		h.ring = h.ring[:0]
	}
	w.sync(h)
	if w.Adopt {
		for _, m := range h.members {
			w.arm(m)
		}
	}
}

// killAgent ends vipd without a word; the kernel goes on.
func (w *World) killAgent(h *host) {
	h.agent, h.blocked = false, nil
}

// crash turns the machine off.
func (w *World) crash(h *host) {
	w.killAgent(h)
	h.up, h.suspended, h.clock.frozen = false, false, false
	h.ring, h.backlog = h.ring[:0], nil
	for _, m := range h.members {
		w.resetKernel(m)
		w.check(m.group)
	}
}

func (w *World) resetKernel(m *member) {
	w.forget(m)
	m.kernel = kernel{role: election.SetRole{State: election.Init}, sources: m.kernel.sources[:0]}
}

// unwell restarts the time that a member must have been healthy for the invariants to
// demand something of it.
func (w *World) unwell(h *host) {
	for _, m := range h.members {
		m.healthy = max(m.healthy, w.now)
	}
}
