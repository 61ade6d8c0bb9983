// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"net/netip"
	"time"

	"vipd/agent/election"
	"vipd/agent/wire"
)

// This file models the agent around the machines, after agent/loop/loop.go and agent/loop/step.go: drain
// the ring as a batch, read what the kernel withheld or saw last for groups that are due, then Tick; before a
// send, check whether the kernel has yielded.

// wakeFor returns when the agent handles m's deadline.
func (w *World) wakeFor(m *member) time.Duration {
	h := m.host
	if h.peer != PeerNone {
		if !h.kernelRuns() || !h.link {
			return never
		}
		return h.clock.when(m.due, 0)
	}
	if !h.running() {
		return never
	}
	due, ok := m.machine.Deadline()
	if !ok {
		return never
	}
	return max(h.clock.when(due, 0), h.napUntil) + h.latency() + w.behind(m)
}

// arm sets the alarm for m's deadline.
func (w *World) arm(m *member) {
	if at := w.wakeFor(m); at != never {
		w.alarms.set(m, max(at, w.now))
	}
}

// wakeRing wakes the agent for its ring.
func (w *World) wakeRing(h *host) {
	switch {
	case !h.running() || h.turnDue:
	case h.latency() == 0:
		w.turn(h, nil)
	default:
		h.turnDue = true
		w.queue.push(happening{at: w.now + h.latency(), kind: kindTurn, host: h})
	}
}

// turn is one iteration of the agent's loop; due is the member whose alarm rang.
func (w *World) turn(h *host, due *member) {
	if !h.running() {
		return
	}
	w.stats.Turns++
	ring := h.ring
	h.ring, h.spare = h.spare[:0], ring
	for i := range ring {
		m := ring[i].m
		m.touched = true
		w.hear(m, &ring[i].seen)
		if h.blocked != nil {
			// The agent hangs in a send and handles the rest of the batch later.
			h.ring = append(h.ring, ring[i+1:]...)
			return
		}
	}
	for i := range ring {
		if m := ring[i].m; m.touched {
			m.touched = false
			w.look(m)
		}
	}
	if due != nil {
		w.look(due)
	}
	w.updateHalves(h)
}

// look ticks m if it is due.
func (w *World) look(m *member) {
	h := m.host
	now := h.clock.local(w.now)
	due, ok := m.machine.Deadline()
	if !ok || !h.running() {
		return
	}
	if due <= now {
		w.step(m, nil) // it may have heard the master again
		due, _ = m.machine.Deadline()
	}
	if due <= now && h.running() {
		if !m.renews(now) {
			w.hearKernel(m)
		}
		if due, ok = m.machine.Deadline(); ok && due <= now && h.running() {
			w.tick(m, now, due)
		}
	}
	w.arm(m)
}

// renews reports whether all that is due is the regular advert of an owner: send looks at what the kernel saw last.
func (m *member) renews(now election.Instant) bool {
	v := m.machine.View()
	return m.machine.Slice() > 0 && v.State == election.Master && !v.Expired && now < v.Lease
}

func (w *World) tick(m *member, now, due election.Instant) {
	if m.wokeAt != w.now {
		m.wokeAt, m.wakes = w.now, 0
	}
	if m.wakes++; m.wakes > 5 {
		w.fail(m, "busy", "woken again and again: %+v", m.machine.View())
	}
	state, moved, sent := m.kernel.role.State, m.transition, m.nth
	late := now.Sub(due)
	w.step(m, election.Tick{Watched: w.watched(m.host)})
	patience, k := patienceForLate(m.cfg), &m.kernel
	switch {
	case m.inBeats(due):
		patience = min(patience, k.record.Beat)
	case m.cfg.AdvBase == 0 && k.known:
		patience = min(patience, k.record.Priority.Interval())
	}
	if m.owned > 0 && (!k.known || k.record.At <= m.owned) {
		patience = min(patience, m.stated.Interval()) // it may count in its own interval or beat
	}
	if state == election.Backup && moved == m.transition && late > patience {
		m.late++
	}
	if m.host.blocked != nil {
		return
	}
	if next, ok := m.machine.Deadline(); ok && next <= now && (next != due || sent != m.nth) {
		return // another deadline is due at the same time, or an extra advert
	} else if ok && next <= now {
		w.fail(m, "busy", "after a tick the deadline still is %v: %+v", time.Duration(next), m.machine.View())
	}
}

// hear passes an advert to the machine, unless it is already known or older than the last.
func (w *World) hear(m *member, s *seen) {
	if s.At <= m.lastHeard {
		return
	}
	w.note(m, s)
	w.step(m, s.Advert)
	m.heardSeq = s.counter
}

// hearKernel applies what the kernel saw last, which a full ring may have lost.
func (w *World) hearKernel(m *member) {
	k := &m.kernel
	if k.known && k.record.At > m.lastAgain {
		w.hear(m, &k.record)
	}
	if m.host.blocked == nil && k.role.State == election.Master && k.yielded >= k.role.Generation {
		w.step(m, election.Yielded{Generation: k.role.Generation})
	}
}

// ask passes an event of the operator or the link to the machine.
func (w *World) ask(m *member, ev election.Event) {
	if !m.host.running() {
		return
	}
	m.asked = true
	w.step(m, ev)
	m.asked = false
	if m.host.running() {
		w.arm(m)
	}
}

// step passes one event to the machine, after the adverts before it that the kernel withheld, and carries out its
// actions. Outcomes of sends are further events, whose actions join the queue. The event may be nil.
func (w *World) step(m *member, ev election.Event) {
	h := m.host
	w.stats.Steps++
	h.queue, h.next = h.queue[:0], 0
	upTo := election.Never
	if a, ok := ev.(election.Advert); ok {
		upTo = a.At
	}
	k := &m.kernel
	adverts, n := m.repeats.Withheld([2]election.Instant{k.heard[0].At, k.heard[1].At}, upTo)
	for _, a := range adverts[:n] {
		s := &k.heard[election.FamilyOf(a.Src)-election.IPv4]
		w.note(m, s)
		m.heardSeq = s.counter
		m.lastAgain, m.late = max(m.lastAgain, a.At), 0
		w.feed(m, a)
	}
	if a, ok := ev.(election.Advert); ok {
		m.lastHeard, m.late = a.At, 0
		m.repeats.Note(a)
	}
	if ev != nil {
		w.feed(m, ev)
	}
	w.carryOut(m)
}

// feed passes one event to the machine and checks its decisions on the evidence of that moment: an agent that hangs
// may carry them out much later.
func (w *World) feed(m *member, ev election.Event) {
	h := m.host
	if a, ok := ev.(election.Advert); ok {
		w.noteBeat(m, a)
	}
	before := len(h.queue)
	h.queue = m.machine.Step(h.clock.local(w.now), ev, h.queue)
	for i := before; i < len(h.queue); i++ {
		if t, ok := h.queue[i].(election.Transition); ok {
			w.decided(m, t)
		}
	}
}

// carryOut carries out the queued actions until none is left or the agent hangs.
func (w *World) carryOut(m *member) {
	h := m.host
	work := h.next < len(h.queue)
	for h.next < len(h.queue) && h.blocked == nil {
		h.next++
		w.execute(m, h.queue[h.next-1])
	}
	if h.blocked == nil {
		m.kernel.settled = m.repeats.Settle(m.machine)
	}
	if work {
		w.check(m.group)
	}
}

func (w *World) execute(m *member, act election.Action) {
	switch act := act.(type) {
	case election.SetRole:
		w.setRole(m, act)
	case election.SetPriority:
		m.kernel.priority = act.Priority
		m.altered = w.now
		w.hash.add(hashPriority, uint64(m.id), prioWord(act.Priority), 0)
	case election.SendAdvert:
		w.send(m, act)
	case election.AddVIPs, election.RenewVIPs:
		m.vips = true
	case election.RemoveVIPs:
		m.vips = false
	case election.Transition:
		w.transition(m, act)
	case election.Released:
		if m.kernel.role.State != election.Init || m.vips {
			w.fail(m, "cause", "released in %v, addresses on the host: %v", m.kernel.role.State, m.vips)
		}
		m.releasing = false
		m.healthy = max(m.healthy, w.now) // if it was enabled again, it becomes BACKUP now
		if m.wanted {                     // enabled again in the meantime
			w.at(w.now, func() { w.sync(m.host) })
		}
	case election.Announce:
	}
}

func (w *World) setRole(m *member, r election.SetRole) {
	old := m.kernel.role
	if w.hooks.Lease != nil && r.Lease > 0 {
		r.Lease = w.hooks.Lease(m.host.clock.local(w.now), r.Lease)
	}
	if r.Generation < old.Generation ||
		r.State == election.Master && old.State != election.Master && (r.Lease != 0 || r.Generation <= old.Generation) {
		w.fail(m, "cause", "role %+v after %+v", r, old)
	}
	m.kernel.role = r
	w.hash.add(hashRole, uint64(m.id), uint64(r.State)<<56|r.Generation, uint64(r.Lease))
	if r.Lease > old.Lease {
		for f := range m.lastSent { // the lease belongs to the families of the last advert
			if !m.went[f] {
				m.lastSent[f] = lastSent{}
			}
		}
	}
	switch {
	case r.State == election.Master && old.State != election.Master:
		m.group.masters = append(m.group.masters, m)
	case r.State != election.Master && old.State == election.Master:
		w.forget(m)
	}
	if w.tracing {
		w.notef(m.host, m.group, "role %v generation %d lease %v", r.State, r.Generation, time.Duration(r.Lease))
	}
}

// send sends one advert, unless the kernel has yielded.
func (w *World) send(m *member, act election.SendAdvert) {
	h, k := m.host, &m.kernel
	now := h.clock.local(w.now)
	yielded, generation, state := k.yielded >= k.role.Generation, k.role.Generation, m.machine.State()
	if k.known && k.record.At > max(m.lastHeard, m.lastAgain) {
		m.lastHeard, m.heardSeq = k.record.At, k.record.counter
		w.note(m, &k.record)
		m.repeats.Note(k.record.Advert)
		w.feed(m, k.record.Advert)
	}
	if yielded {
		w.feed(m, election.Yielded{Generation: generation})
	}
	if yielded || m.machine.State() != state { // BACKUP takes back a claim
		return
	}
	stalls := h.stalling > 0 && w.faults.chance(200)
	if stalls && w.Slow && m.machine.View().Claiming {
		h.blocked = &stall{m: m, act: act, anew: true}
		d := w.faults.between(time.Millisecond, 2*time.Second)
		w.queue.push(happening{at: w.now + d, kind: kindCall, call: func() { w.unblock(h) }})
		w.unwell(h)
		return
	}
	for _, role := range m.machine.Step(now, election.Sending{}, nil) {
		w.execute(m, role)
	}
	if stalls {
		h.blocked = &stall{m: m, act: act, t0: now}
		if w.faults.chance(500) { // hangs in the system call after the frame was sent
			h.blocked.sent, h.blocked.out = true, w.sendAt(m, act)
		}
		d := w.faults.between(time.Millisecond, 5*time.Second)
		w.queue.push(happening{at: w.now + d, kind: kindCall, call: func() { w.unblock(h) }})
		w.unwell(h)
		return
	}
	w.sentBy(m, act, now, w.sendAt(m, act))
}

// unblock continues a send that hung.
func (w *World) unblock(h *host) {
	s := h.blocked
	if s == nil {
		return
	}
	if h.held > 0 || !h.kernelRuns() {
		w.queue.push(happening{at: w.now + 10*time.Millisecond, kind: kindCall, call: func() { w.unblock(h) }})
		return
	}
	h.blocked = nil
	w.paused(h)
	w.unwell(h)
	if s.anew {
		w.send(s.m, s.act)
		w.carryOut(s.m)
		w.revive(h)
		return
	}
	if !s.sent {
		s.out = w.sendAt(s.m, s.act)
	}
	w.sentBy(s.m, s.act, s.t0, s.out)
	w.carryOut(s.m)
	w.revive(h)
}

// sentBy passes the outcome of a send to the machine.
func (w *World) sentBy(m *member, act election.SendAdvert, t0 election.Instant, out outcome) {
	w.noteSend(m, act, out)
	w.feed(m, election.Sent{T0: t0, Goodbye: act.Goodbye, OK: out.ok, Partial: out.partial})
}

// outcome is the outcome of a send.
type outcome struct {
	tried   bool // false if nothing could or should be sent
	ok      bool // all frames were sent
	partial bool // some frames were sent
}

// sendAt builds the frames of the families with a source address and passes them to the kernel.
func (w *World) sendAt(m *member, act election.SendAdvert) (out outcome) {
	h := m.host
	families := w.families()
	if r := w.reach(h); act.Whole && r.Impaired || r.Mute {
		m.failed = true
		if w.tracing {
			w.notef(h, m.group, "does not send %d/%d: %v", act.AdvBase, act.AdvSkew, h.halves)
		}
		return out
	}
	out.tried = true
	passed, before := true, m.kernel.claimed
	due, sent := 0, 0
	fails := h.claims.fail && m.machine.View().Claiming && h.claims.fails(w.now)
	if fails {
		w.unwell(h)
	}
	if !act.Goodbye {
		m.nth++
	}
	for _, f := range families {
		m.went[f] = false
		if h.halves[f].lost > 0 {
			continue
		}
		due++
		frame := w.sign(m, act, h.addrs[f])
		passes := m.kernel.advertise(h.clock.local(w.now), act.Goodbye)
		passed = passed && passes
		if !passes || !h.link || h.failing > 0 || fails || h.halves[f].refused > 0 {
			continue
		}
		sent++
		if w.Trailers != TrailersOff {
			m.kernel.highest = max(m.kernel.highest, frame.Advert.Counter)
		}
		m.went[f] = true
		if !act.Goodbye {
			m.sentAt = w.now
			m.newer(frame.Advert.Counter, w.now)
			m.lastSent[f] = lastSent{h.addrs[f], frame.Advert.Counter}
			m.goodbyes = [2]lastSent{}
			m.stated = election.Advert{Priority: act.Priority, Beat: act.Beat}
		} else {
			m.goodbyes[f] = lastSent{h.addrs[f], frame.Advert.Counter}
		}
		w.transmit(m, frame)
	}
	out.ok, out.partial = sent == due, sent > 0 && sent < due
	if passed && sent == 0 && m.kernel.claimed != before {
		w.claimLost(m)
	}
	if sent == 0 && !act.Goodbye {
		m.nth-- // it was not sent
	}
	if sent > 0 {
		w.countSend(m)
		w.stats.Adverts++
	}
	if out.partial {
		w.stats.Partial++
	}
	m.failed = !out.ok
	w.hash.add(hashSend, uint64(m.id), prioWord(act.Priority), m.counter<<1|boolWord(out.ok))
	if w.tracing {
		w.notef(h, m.group, "sends %d/%d demote %d beat %v, %+v", act.AdvBase, act.AdvSkew, act.Demote, act.Beat, out)
	}
	return out
}

// sign builds one advert and stores it in the loop check before it is sent.
func (w *World) sign(m *member, act election.SendAdvert, src netip.Addr) wire.AdvertFrame {
	h, p := m.host, act.Priority
	secret := &m.group.secrets[m.signs]
	if w.Trailers == TrailersOff {
		if m.counter++; m.counter == m.heardSeq { // must differ from a peer's last one
			m.counter++
		}
	} else {
		if !w.hooks.NeverRaise {
			h.last = max(h.last, m.kernel.highest) // a full ring may have lost it
		}
		m.counter = h.draw(h.clock.local(w.now))
		m.kernel.ownNumber = m.counter
	}
	digest := secret.key.Digest(secret.prefix, m.counter)
	out := build(m.group.vhid, src, p, m.counter, digest)
	if w.hooks.Advert != nil {
		out.Advert = w.hooks.Advert(out.Advert, m.cfg.AdvSkew, h.demotion)
	}
	if w.Trailers != TrailersOff {
		trailer := secret.trailer.Trailer(w.hooks.bound(src), out.Advert, uint16(act.Beat/time.Microsecond))
		out.Trailer = &trailer
	}
	m.kernel.recordSent(m.counter, digest, p)
	return out
}

// revive continues a stopped agent with its ring and its deadlines.
func (w *World) revive(h *host) {
	if !h.running() {
		return
	}
	if len(h.ring) > 0 {
		w.wakeRing(h)
	}
	w.sync(h)
	for _, m := range h.members {
		if h.running() {
			w.arm(m)
		}
	}
}

// sync updates the groups after a change of the link or by the operator, as the agent does. Adverts that arrived
// before are handled first.
func (w *World) sync(h *host) {
	if !h.running() {
		return
	}
	if h.peer != PeerNone {
		w.syncPeer(h)
		return
	}
	w.turn(h, nil)
	w.updateHalves(h)
	for _, m := range h.members {
		if !h.running() {
			return
		}
		switch state := m.kernel.role.State; {
		case !h.link && state != election.Init:
			w.ask(m, election.Down{Reason: election.ReasonLinkDown})
		case h.link && m.wanted && state == election.Init:
			w.ask(m, election.Demotion{Total: w.total(h)})
			w.ask(m, election.Up{Reason: election.ReasonLinkUp})
		}
	}
}
