// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"net/netip"
	"time"

	"vipd/agent/election"
	"vipd/agent/wire"
)

// This file is the agent around the machines, after agent/loop.go and agent/execute.go:
// drain the ring as a batch, then the kernel's record for who is due, then Tick; before a
// send, ask the kernel whether it has yielded.

// wakeFor is when the agent will look at m's deadline.
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
	return max(h.clock.when(due, 0), h.napUntil) + h.latency()
}

// arm sets the alarm for m's deadline.
func (w *World) arm(m *member) {
	if at := w.wakeFor(m); at != never {
		w.alarms.set(m, max(at, w.now))
	}
}

// wakeRing lets the agent look at its ring.
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

// turn is one round of the agent's loop; due is the member whose alarm rang.
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
			// The agent hangs in a send: it will find the rest of its batch later.
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
}

// look lets m decide, if it is due.
func (w *World) look(m *member) {
	h := m.host
	now := h.clock.local(w.now)
	due, ok := m.machine.Deadline()
	if !ok || !h.running() {
		return
	}
	if due <= now {
		w.hearKernel(m)
		if due, ok = m.machine.Deadline(); ok && due <= now && h.running() {
			w.tick(m, now, due)
		}
	}
	w.arm(m)
}

func (w *World) tick(m *member, now, due election.Instant) {
	if m.wokeAt != w.now {
		m.wokeAt, m.wakes = w.now, 0
	}
	if m.wakes++; m.wakes > 5 {
		w.fail(m, "busy", "woken again and again: %+v", m.machine.View())
	}
	state, moved := m.kernel.role.State, m.transition
	late := now.Sub(due)
	w.step(m, election.Tick{})
	if state == election.Backup && moved == m.transition && late > patienceForLate(m.cfg) {
		m.late++
	}
	if m.host.blocked != nil {
		return
	}
	if next, ok := m.machine.Deadline(); ok && next <= now && next != due {
		return // something else became due at this very moment
	} else if ok && next <= now {
		w.fail(m, "busy", "after a tick the deadline still is %v: %+v", time.Duration(next), m.machine.View())
	}
}

// hear gives an advert to the machine, unless it knows it or a newer one.
func (w *World) hear(m *member, s *seen) {
	if s.At <= m.lastHeard {
		return
	}
	m.lastHeard, m.heardSeq = s.At, s.counter
	m.late = 0
	w.step(m, s.Advert)
}

// hearKernel applies the kernel's record: what a full ring has not told.
func (w *World) hearKernel(m *member) {
	k := &m.kernel
	if k.known && k.record.At > m.lastHeard {
		w.hear(m, &k.record)
	}
	if m.host.blocked == nil && k.role.State == election.Master && k.yielded >= k.role.Generation {
		w.step(m, election.Yielded{Generation: k.role.Generation})
	}
}

// ask feeds an event of the operator or the link.
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

// step feeds one event and carries out what the machine decides. Outcomes of sends are
// events again and join the queue.
func (w *World) step(m *member, ev election.Event) {
	h := m.host
	w.stats.Steps++
	h.queue, h.next = h.queue[:0], 0
	w.tell(m, ev)
	w.carryOut(m)
}

// tell feeds one event to the machine and judges what it decided, on the evidence of that
// moment: an agent that hangs may carry it out much later.
func (w *World) tell(m *member, ev election.Event) {
	h := m.host
	before := len(h.queue)
	h.queue = m.machine.Step(h.clock.local(w.now), ev, h.queue)
	for i := before; i < len(h.queue); i++ {
		if t, ok := h.queue[i].(election.Transition); ok {
			w.decided(m, t)
		}
	}
}

// carryOut works through the queue until it is empty or the agent hangs.
func (w *World) carryOut(m *member) {
	h := m.host
	work := h.next < len(h.queue)
	for h.next < len(h.queue) && h.blocked == nil {
		h.next++
		w.execute(m, h.queue[h.next-1])
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
		m.healthy = max(m.healthy, w.now) // enabled again meanwhile, it begins to listen now
		if m.wanted {                     // enabled again meanwhile
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
	if r.Generation < old.Generation || r.State == election.Master && old.State != election.Master && (r.Lease != 0 || r.Generation <= old.Generation) {
		w.fail(m, "cause", "role %+v after %+v", r, old)
	}
	m.kernel.role = r
	w.hash.add(hashRole, uint64(m.id), uint64(r.State)<<56|r.Generation, uint64(r.Lease))
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
	if k.yielded >= k.role.Generation {
		if k.known && k.record.At > m.lastHeard {
			m.lastHeard, m.heardSeq = k.record.At, k.record.counter
			w.tell(m, k.record.Advert)
		}
		w.tell(m, election.Yielded{Generation: k.role.Generation})
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
		if w.faults.chance(500) { // within the system call, and the frame is out
			h.blocked.sent, h.blocked.ok = true, w.sendAt(m, act)
		}
		d := w.faults.between(time.Millisecond, 5*time.Second)
		w.queue.push(happening{at: w.now + d, kind: kindCall, call: func() { w.unblock(h) }})
		w.unwell(h)
		return
	}
	w.tell(m, election.Sent{T0: now, Goodbye: act.Goodbye, OK: w.sendAt(m, act)})
}

// unblock lets a send that hung go on.
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
	w.unwell(h)
	if s.anew {
		w.send(s.m, s.act)
		w.carryOut(s.m)
		w.revive(h)
		return
	}
	if !s.sent {
		s.ok = w.sendAt(s.m, s.act)
	}
	w.tell(s.m, election.Sent{T0: s.t0, Goodbye: s.act.Goodbye, OK: s.ok})
	w.carryOut(s.m)
	w.revive(h)
}

// sendAt builds the frame and hands it to the kernel. It reports whether it went out.
func (w *World) sendAt(m *member, act election.SendAdvert) bool {
	h := m.host
	passed, before := true, m.kernel.claimed
	var outs [2]wire.AdvertFrame
	sources := h.sources(w.Families)
	for i, src := range sources {
		outs[i] = w.sign(m, act.Priority, src)
		passed = m.kernel.advertise(h.clock.local(w.now), act.Goodbye) && passed
	}
	ok := passed && h.link && h.failing == 0
	if passed && !ok && m.kernel.claimed != before {
		w.claimLost(m)
	}
	if ok {
		w.countSend(m)
		w.stats.Adverts++
		if !act.Goodbye {
			m.sentAt = w.now
		}
		for i, src := range sources {
			if !act.Goodbye {
				m.lastSent[i] = lastSent{src, outs[i].Advert.Counter}
			}
			w.transmit(m, outs[i])
		}
	}
	m.failed = !ok
	w.hash.add(hashSend, uint64(m.id), prioWord(act.Priority), m.counter<<1|boolWord(ok))
	if w.tracing {
		w.notef(h, m.group, "sends %d/%d demote %d, ok %v", outs[0].Advert.AdvBase, outs[0].Advert.AdvSkew, outs[0].Advert.Demote, ok)
	}
	return ok
}

// sign builds one advert, and tells the kernel of it before it leaves.
func (w *World) sign(m *member, p election.Priority, src netip.Addr) wire.AdvertFrame {
	h := m.host
	secret := &m.group.secrets[m.signs]
	for again := true; again; again = m.counter == m.heardSeq { // never a peer's last one
		m.counter++
		if h.seals {
			h.sequence++
			m.counter = secret.seal.Counter(h.sequence, sealed(src, p))
		}
	}
	digest := secret.key.Digest(secret.prefix, m.counter)
	out := build(m.group.vhid, src, p, m.counter, digest)
	if w.hooks.Advert != nil {
		out.Advert = w.hooks.Advert(out.Advert, m.cfg.AdvSkew, h.demotion)
	}
	m.kernel.recordSent(m.counter, digest, p)
	return out
}

// revive lets an agent that was stopped run: it finds its ring and its deadlines.
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

// sync moves the groups along with link and operator, as the agent does after every turn
// that could have changed either. What the wire said before counts first.
func (w *World) sync(h *host) {
	if !h.running() {
		return
	}
	if h.peer != PeerNone {
		w.syncPeer(h)
		return
	}
	w.turn(h, nil)
	for _, m := range h.members {
		if !h.running() {
			return
		}
		switch state := m.kernel.role.State; {
		case !h.link && state != election.Init:
			w.ask(m, election.Down{Reason: election.ReasonLinkDown})
		case h.link && m.wanted && state == election.Init:
			w.ask(m, election.Demotion{Total: h.demotion})
			w.ask(m, election.Up{Reason: election.ReasonLinkUp})
		}
	}
}
