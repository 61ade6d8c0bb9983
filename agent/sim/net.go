// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"slices"
	"time"

	"vipd/agent/election"
	"vipd/agent/wire"
)

// latencyClasses is the number of different latencies: a broadcast is one event per class, not per receiver.
const latencyClasses = 4

// network is what the segment does to frames.
type network struct {
	latency [latencyClasses]time.Duration // minimum
	jitter  time.Duration                 // added at most, drawn per frame and class
	flight  time.Duration                 // maximum for all frames, including doubled and shuffled ones

	// Faults, in parts of a thousand, drawn per frame and receiver.
	trouble bool // any of the following
	loss    int
	delay   int // by up to delayBy; counts as loss
	delayBy time.Duration
	shuffle int // by up to half a flight: frames overtake each other
	double  int
	policed int  // hosts
	hairpin bool // frames come back to their sender
	cuts    []cut
	sides   []uint8 // partition by host; nil: none
}

func (n *network) update() {
	n.trouble = n.loss > 0 || n.delay > 0 || n.shuffle > 0 || n.double > 0 || len(n.cuts) > 0 || n.sides != nil ||
		n.policed > 0
}

// transmit sends an advert to the segment.
func (w *World) transmit(m *member, out wire.AdvertFrame) {
	bytes, err := out.AppendBinary(make([]byte, 0, 70))
	if err != nil {
		w.fail(m, "wire", "frame cannot be built: %v", err)
		return
	}
	f := &frame{bytes: bytes, group: m.group, from: m, nth: m.nth, at: w.now, src: out.Src}
	w.overhear(f)
	h := m.host
	for class := range m.group.classes {
		if len(m.group.classes[class]) == 0 {
			continue
		}
		at := w.now + w.net.latency[class] + w.latencies.between(0, w.net.jitter)
		at = max(at, h.lands[class])
		h.lands[class] = at
		w.queue.push(happening{at: at, kind: kindArrival, frame: f, class: int32(class)})
	}
}

// inject sends an attacker's frame to the segment.
func (w *World) inject(f *frame) {
	g := f.group
	for class := range g.classes {
		w.queue.push(happening{at: w.now + w.net.latency[class], kind: kindArrival, frame: f, class: int32(class)})
	}
}

// arrive handles the arrival of a frame at a latency class.
func (w *World) arrive(f *frame, class int32) {
	for _, m := range f.group.classes[class] {
		if m == f.from && !w.net.hairpin {
			continue
		}
		if w.net.trouble && !w.passes(m, f) {
			continue
		}
		w.deliver(m, f)
	}
}

// passes draws the network's faults for a frame to m.
func (w *World) passes(m *member, f *frame) bool {
	n := &w.net
	if f.from != nil && w.cut(f, m.host) || n.loss > 0 && w.losses.chance(n.loss) {
		w.lost(m, f)
		return false
	}
	if p := m.host.police; p != nil && !p.passes(w.now) {
		w.lost(m, f)
		return false
	}
	if n.delay > 0 && w.losses.chance(n.delay) {
		w.lost(m, f)
		late := func() {
			w.blame(m, f) // its sender may no longer be master
			w.deliver(m, f)
		}
		w.queue.push(happening{at: w.now + w.losses.between(0, n.delayBy), kind: kindCall, call: late})
		return false
	}
	if n.double > 0 && w.losses.chance(n.double) {
		w.single(m, f, w.losses.between(0, n.flight/2))
	}
	if n.shuffle > 0 && w.losses.chance(n.shuffle) {
		w.single(m, f, w.losses.between(0, n.flight/2))
		return false
	}
	return true
}

func (w *World) single(m *member, f *frame, in time.Duration) {
	w.queue.push(happening{at: w.now + in, kind: kindSingle, frame: f, to: m})
}

func (w *World) cut(f *frame, to *host) bool {
	from := f.from.host
	if w.net.sides != nil && w.net.sides[from.id] != w.net.sides[to.id] {
		return true
	}
	return slices.ContainsFunc(w.net.cuts, func(c cut) bool {
		return c.from == from.id && c.to == to.id && c.of(f.src)
	})
}

// deliver handles a frame that reaches a NIC.
func (w *World) deliver(m *member, f *frame) {
	h := m.host
	switch {
	case !h.up:
	case !h.link:
		w.lost(m, f)
	case h.clock.frozen:
		if len(h.backlog) < backlogSize && f.from != nil {
			h.backlog = append(h.backlog, &arrival{m, f})
		}
		w.lost(m, f)
	case h.suspended:
		w.lost(m, f)
	default:
		w.receive(m, f)
	}
}

// receive models the XDP program, and the agent if it wakes up at once.
func (w *World) receive(m *member, f *frame) {
	h := m.host
	// Time stamps differ: the agent takes an advert with the same time stamp for the same advert.
	now := h.clock.local(w.now)
	if now <= m.stamp {
		w.single(m, f, time.Microsecond)
		return
	}
	m.stamp = now
	w.stats.Deliveries++
	if !f.parsed {
		f.parse()
	}
	why, s := w.verdict(m, f, now)
	w.hash.add(hashReceive, uint64(m.id), f.advert.Advert.Counter, uint64(why)<<1|boolWord(s.Yielded))
	if w.tracing {
		w.noteReceived(m, f, why, s.Yielded)
	}
	if why != rejectNone {
		w.stats.Rejected++
		w.refused(m, f, why)
		return
	}
	if f.from == nil {
		w.forged(m.group)
	}
	if h.peer != PeerNone {
		w.hearPeer(m, f.prio, f.advert.Src, f.advert.Advert.Counter)
		return
	}
	if s.Yielded {
		w.check(m.group)
	}
	// The seen entry holds one advert: of two that are not in the ring, the agent sees only the later one.
	if m.untold != nil && m.untold != f.from && m.untoldAt > max(m.lastHeard, m.lastAgain) {
		w.missed(m, m.untold)
		m.unread[m.unreads%len(m.unread)] = m.untoldNumber
		m.unreads++
	}
	m.untold = nil
	if s.withheld {
		w.stats.Withheld++
		return
	}
	if len(h.ring) < h.ringCap {
		h.ring = append(h.ring, ringEvent{m, s})
		w.wakeRing(h)
	} else {
		w.stats.RingFull++
		m.untold, m.untoldAt, m.untoldNumber = f.from, s.At, lastSent{s.Src, s.counter}
	}
}

// verdict returns what the kernel of m makes of a frame.
func (w *World) verdict(m *member, f *frame, now election.Instant) (reject, seen) {
	k, h := &m.kernel, m.host
	switch {
	case f.reject != rejectNone:
		return f.reject, seen{}
	case h.peer != PeerNone && !f.authentic(m.accepts):
		return rejectDigest, seen{}
	case h.peer != PeerNone && h.owns(f.advert.Src):
		return rejectLoop, seen{}
	case h.peer != PeerNone:
		return rejectNone, seen{}
	}
	if why := k.check(f, m, now, w); why != rejectNone {
		return why, seen{}
	}
	if f.from == nil {
		w.checkForged(m, f)
	}
	knew := k.peer(f.advert.Src) != nil
	answered := k.answering(now)
	s := k.accept(f, m, now, w)
	w.took(m, f, knew)
	if f.from != nil {
		m.got[election.FamilyOf(s.Src)-election.IPv4] = f.nth
	}
	if s.Yielded && answered {
		w.checkMoved(m, now, "yields")
	}
	return rejectNone, s
}

// refused notes that m refused a frame, which counts as a loss unless it has accepted this or a later one.
func (w *World) refused(m *member, f *frame, why reject) {
	switch {
	case f.from == nil || why == rejectLoop:
	case why != rejectReplay:
		w.lost(m, f)
	case f.takers&m.host.bit() == 0: // not merely a double
		w.lost(m, f)
		if w.isNews(m, f) {
			w.checkHeard(m, f)
		}
	}
}

func (n *network) String() string {
	return fmt.Sprintf("latency %v and up to %v, flight %v", n.latency, n.jitter, n.flight)
}
