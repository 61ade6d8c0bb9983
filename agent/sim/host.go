// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"net/netip"
	"time"

	"vipd/agent/election"
)

// group is one group on the segment.
type group struct {
	vhid    uint8
	secrets []secret
	members []*member
	classes [latencyClasses][]*member // by latency, in order of host

	// For the invariants.
	masters     []*member // kernels with role MASTER, of hosts that are up
	overlaps    []overlap
	disturbed   time.Duration // last time that an advert was lost or forged, or a clock stood still
	halfSince   time.Duration // since when the owner reaches only one of two families; 0 = it does not
	forged      time.Duration // last time that an attacker's advert was accepted
	gapOpen     bool
	gapSince    time.Duration
	until       time.Duration // lease of the last owner that was found
	moved       time.Duration // last transition of a member
	movedBefore time.Duration // the one before
	rotating    bool
}

// member is a group on a host.
type member struct {
	id    int // in the world
	host  *host
	group *group
	slot  int32         // in the alarms' heap + 1
	alarm time.Duration // its time, if it is set

	kernel  kernel
	machine *election.Machine

	agentMember
	evidence
	beatLog
	unsent unsent
	forgeries
	sendLog
	wakeLog

	due election.Instant // timer of a peer
}

// agentMember is the state that the agent has about a member.
type agentMember struct {
	cfg          election.Config
	signs        int    // number of the secret for its own adverts
	accepts      uint64 // numbers of the accepted secrets, as bits
	counter      uint64
	stamp        election.Instant // of the last frame
	lastHeard    election.Instant
	lastAgain    election.Instant // of what was withheld
	heardSeq     uint64
	untold       *member          // sender of the advert that the kernel saw last, if it is not in the ring
	untoldAt     election.Instant // when it was heard
	untoldNumber lastSent
	unread       [8]lastSent // of those, the last that no agent will hear of
	unreads      int
	wanted       bool // not disabled
	vips         bool
	releasing    bool // disabled, during the handover
	errors       election.SendErrors
	reach        election.Reach // as the machine knows it
	touched      bool           // received an advert in this iteration
	repeats      election.Repeats
	saved        []savedPeer // in state_dir
}

// evidence is what the invariants need to judge transitions.
type evidence struct {
	asked      bool // the operator or the link requests something now
	failed     bool // the last send
	late       int  // late decisions of the present wait
	patience   time.Duration
	altered    time.Duration // last change of configuration or priority
	rebased    time.Duration // last change of advbase
	healthy    time.Duration // since when it has no fault
	normal     election.Config
	transition int
}

// sendLog is what the invariants need to judge adverts.
type sendLog struct {
	nth      int             // number of its last send
	stated   election.Advert // by the last one that was sent: priority and beat
	sentAt   time.Duration   // last successful send
	lastSent [2]lastSent     // its adverts, by family
	goodbyes [2]lastSent     // and the goodbyes since then
	went     [2]bool         // the last send succeeded, by family
	second   time.Duration   // adverts per second: the second
	inSecond int             // and how many
}

// wakeLog detects a machine that is woken repeatedly at one moment.
type wakeLog struct {
	wokeAt time.Duration
	wakes  int
}

// lastSent identifies an advert.
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

	power
	scheduling
	receiving
	numbering
	actions
	hostFaults

	lands [latencyClasses]time.Duration // arrival of its last frame: frames do not overtake each other
	log   []note
}

// power is what runs on a host.
type power struct {
	up        bool
	agent     bool // the process exists
	held      int  // faults that stop the agent
	suspended bool // the machine sleeps; its clock does not
	link      bool
	began     time.Duration // when the agent or the link came up last
}

// scheduling is when the agent runs.
type scheduling struct {
	lag      time.Duration // from an event until the agent runs
	starved  int           // faults that increase lag
	napUntil time.Duration // timers do not fire before: Go's timers stop during a suspend
	turnDue  bool          // a run for the ring is queued
	busy     busy
	blocked  *stall // the agent hangs between t0 and send
}

// receiving holds adverts that the agent has not read.
type receiving struct {
	ring    []ringEvent
	spare   []ringEvent
	ringCap int
	backlog []*arrival // frames that wait while the machine is frozen
}

// actions are those that the agent carries out, and the demotion.
type actions struct {
	queue    []election.Action
	next     int
	demotion int
	told     int // the total that the machines know
}

// hostFaults are the active faults of a host.
type hostFaults struct {
	halves   [2]half // by family
	police   *police // limits what reaches it; nil: nothing does
	beatless bool    // its vipd is of a version that does not know beats
	failing  int     // faults that make sends fail
	claims   claimFault
	stalling int // faults that make a send hang
	thawed   time.Duration
	troubled time.Duration // last change of what may make it late
}

type arrival struct {
	m *member
	f *frame
}

// stall is a send that hangs after t0 was taken, before or after the frame was sent.
type stall struct {
	m    *member
	act  election.SendAdvert
	t0   election.Instant
	sent bool
	out  outcome // valid if sent
	anew bool    // it hangs before t0, while the addresses are added
}

// running reports whether the agent can run.
func (h *host) running() bool {
	return h.up && h.agent && h.held == 0 && !h.clock.frozen && !h.suspended && h.blocked == nil
}

// kernelRuns reports whether the kernel processes frames.
func (h *host) kernelRuns() bool { return h.up && !h.clock.frozen && !h.suspended }

// latency returns how long the agent takes to wake up.
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

// answering reports whether the member answers on the segment.
func (w *World) answering(m *member) bool {
	h := m.host
	return h.kernelRuns() && h.link && m.kernel.answering(h.clock.local(w.now))
}

// leaseEnd returns until when a member that answers now will answer.
func (w *World) leaseEnd(m *member) time.Duration {
	return m.host.clock.when(m.kernel.silentAt(), 0)
}

// boot powers a machine on.
func (w *World) boot(h *host) {
	h.up, h.link, h.suspended, h.thawed = true, true, false, 0
	h.clock = clock{at: w.now, read: election.Instant(w.clocks.between(time.Second, time.Hour)), ppm: h.clock.ppm}
	w.startAgent(h)
}

// startAgent starts vipd, which adopts or removes the data plane of an earlier process.
func (w *World) startAgent(h *host) {
	h.agent, h.demotion, h.told, h.napUntil, h.began = true, 0, 0, 0, w.now
	w.paused(h)
	h.startNumbers(w.now)
	highest := h.highest()
	for _, m := range h.members {
		adopts := w.Adopt && m.kernel.pinned && h.peer == PeerNone
		if !adopts {
			w.resetKernel(m)
			w.recall(m)
		}
		h.remind(m)
		m.errors, m.reach = election.SendErrors{}, election.Reach{}
		m.wanted = true // a reboot, and in this model a restart, clears the disable switch
		m.beatLog = beatLog{started: h.clock.local(w.now)}
		m.unsent, m.stated = unsent{}, election.Advert{}
		m.stamp, m.lastHeard, m.heardSeq, m.late = 0, 0, 0, 0
		m.lastAgain = 0
		m.inSecond = 0 // a new process has a burst of its own
		m.repeats, m.kernel.settled = election.Repeats{}, [2]election.Instant{}
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
	for _, m := range h.members {
		m.kernel.ownNumber = h.last
	}
	w.sync(h)
	if w.Adopt {
		for _, m := range h.members {
			w.arm(m)
		}
	}
}

// killAgent kills vipd; the kernel continues.
func (w *World) killAgent(h *host) {
	h.agent, h.blocked = false, nil
}

// crash powers the machine off.
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
	k := &m.kernel
	*k = kernel{role: election.SetRole{State: election.Init}, sources: k.sources[:0], peers: k.peers[:0]}
	m.setUp, m.newest, m.copyAt = w.now, 0, 0
}

// unwell restarts the time for which the members have been healthy.
func (w *World) unwell(h *host) {
	h.troubled = w.now
	for _, m := range h.members {
		m.healthy = max(m.healthy, w.now)
	}
}

// adopt makes m's machine continue from the pinned data plane, after agent/loop/adopt.go.
func (w *World) adopt(m *member, highest uint64) {
	h, k := m.host, &m.kernel
	from := election.Adopted{
		State: k.role.State, Generation: highest, Lease: k.role.Lease, SendUntil: k.role.SendUntil,
		Yielded: k.yielded >= k.role.Generation, Priority: k.priority,
	}
	if from.State == election.Master && !from.Yielded {
		from.Generation = k.role.Generation
	}
	w.stats.Adopted++
	machine, late := election.Adopt(m.cfg, h.clock.local(w.now), from, nil)
	*m.machine = *machine
	m.patience = minDown(m.cfg)
	m.asked = true
	for _, act := range late {
		if t, ok := act.(election.Transition); ok {
			w.decided(m, t)
		}
	}
	for _, act := range late {
		w.execute(m, act)
	}
	m.asked = false
	if v := m.machine.View(); v.State == election.Master {
		w.stats.AdoptedMaster++
	}
	w.check(m.group)
}

// highest returns the highest generation that is pinned on a host.
func (h *host) highest() (generation uint64) {
	for _, m := range h.members {
		generation = max(generation, m.kernel.role.Generation)
	}
	return generation
}
