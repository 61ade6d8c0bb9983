// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"strings"
	"time"
)

// faultKind is a kind of fault. Append only: the order is part of the meaning of a seed.
type faultKind uint8

const (
	faultLoss      faultKind = iota
	faultDelay               // of frames, beyond the limits
	faultShuffle             // frames overtake each other
	faultDouble              // frames arrive twice
	faultCut                 // one-way
	faultPartition           // into two sides
	faultLink                // a host's cable
	faultCrash               // of a machine, with restart
	faultKill                // of an agent, with restart; its data plane continues
	faultPause               // of an agent; its data plane continues
	faultFreeze              // of a machine whose clock stands still: a stopped guest
	faultSuspend             // of a machine whose clock continues
	faultStarve              // the agent runs late
	faultRing                // the event ring is full
	faultSend                // sends fail
	faultStall               // a send hangs after t0
	faultSkew                // reload with another advskew
	faultBase                // reload with another advbase
	faultSecret              // password or address list differ from the peers'
	faultDemote              // the total of demotions changes
	faultStorm               // the total changes many times
	faultRelease             // disabled, and enabled again
	faultGarbage             // adverts that are not authentic
	faultHairpin             // the switch returns frames to their sender
	faultReplay              // captured adverts are sent again
	faultForge               // captured adverts are sent with other priorities and sources
	faultRotate              // new password on one node after the other, as documented
	faultForget              // a machine crashes, and its disk and clock are lost
	faultSource              // a family has no source address; the agent knows it
	faultRefuse              // the kernel refuses the frames of a family
	faultTape                // an attacker plays what it recorded, at the speed of then
	faultBeat                // reload with another beat
	faultPolice              // a switch limits the frames to a host
	faultClaim               // claims cannot be sent
	faultBusy                // the agent decides late, and looks for adverts all the while
	faultKinds
)

// oldKinds share a stream; later kinds have their own (see halves.go).
const oldKinds = faultForget + 1

// FaultSet is a set of faults, one bit per kind.
type FaultSet uint64

func (k faultKind) String() string {
	return [...]string{
		"loss", "delay", "shuffle", "double", "cut", "partition", "link", "crash", "kill", "pause", "freeze",
		"suspend", "starve", "ring", "send", "stall", "skew", "base", "secret", "demote", "storm", "release",
		"garbage", "hairpin", "replay", "forge", "rotate", "forget", "source", "refuse", "tape", "beat", "police",
		"claim", "busy", "?",
	}[min(k, faultKinds)]
}

func (s FaultSet) String() string {
	var names []string
	for k := range faultKinds {
		if s&(1<<k) != 0 {
			names = append(names, k.String())
		}
	}
	return strings.Join(names, ",")
}

// gentle reports whether faults of this kind are no excuse for an overlap: no advert is lost, no clock
// stands still, and the configurations match.
func (k faultKind) gentle() bool {
	switch k {
	case faultShuffle, faultDouble, faultCrash, faultKill, faultPause, faultStarve, faultRing, faultSend,
		faultStall, faultSkew, faultDemote, faultStorm, faultRelease, faultGarbage, faultHairpin, faultRotate,
		faultSource, faultRefuse, faultBeat, faultClaim, faultBusy:
		return true
	default:
		return false
	}
}

// fault is an active fault.
type fault struct {
	kind faultKind
	what string
	over bool
	end  func()
}

// strike starts faults until the given time.
func (w *World) strike(until time.Duration) {
	if w.Faults&(1<<oldKinds-1) == 0 {
		return
	}
	w.recur(w.faults, 2*w.Pace, until, func() { w.begin(w.pickFault()) })
}

// recur does something again and again until the given time, each time after a pause that the stream draws.
func (w *World) recur(s *stream, longest, until time.Duration, do func()) {
	next := w.now + s.between(0, longest)
	if next >= until {
		return
	}
	w.at(next, func() {
		do()
		w.recur(s, longest, until, do)
	})
}

func (w *World) pickFault() faultKind {
	for {
		if k := faultKind(w.faults.below(int(oldKinds))); w.Faults&(1<<k) != 0 {
			return k
		}
	}
}

// lasting draws the duration of a fault: often short, sometimes long.
func (w *World) lasting() time.Duration {
	return w.faults.between(0, oneOf(w.faults, 50*time.Millisecond, time.Second, 5*time.Second, 15*time.Second))
}

func (w *World) begin(k faultKind) {
	f := &fault{kind: k}
	duration := w.lasting()
	h := w.hosts[w.faults.below(len(w.hosts))]
	m := h.members[w.faults.below(len(h.members))]
	switch {
	case k <= faultPartition:
		w.beginNet(f)
	case k <= faultStall || k == faultForget:
		w.beginHost(f, h)
	case k <= faultRelease || k == faultRotate:
		w.beginConfig(f, h, m)
	default:
		w.beginHostile(f, m.group)
	}
	if f.end != nil { // otherwise it cannot happen to this host now
		w.started(f, duration)
	}
}

// started registers an active fault and its end.
func (w *World) started(f *fault, duration time.Duration) {
	w.stats.Faults++
	w.stats.ByKind[f.kind]++
	w.hash.add(hashFault, uint64(f.kind), uint64(w.now), uint64(duration))
	w.logf("%v for %v: %s", f.kind, duration, f.what)
	w.active = append(w.active, f)
	w.at(w.now+duration, func() { w.finish(f) })
}

func (w *World) finish(f *fault) {
	if f.over {
		return
	}
	f.over = true
	w.logf("end of %v: %s", f.kind, f.what)
	f.end()
	for i := range w.active {
		if w.active[i] == f {
			w.active = append(w.active[:i], w.active[i+1:]...)
			return
		}
	}
}

func (w *World) logf(format string, args ...any) {
	if w.tracing {
		w.log = append(w.log, note{w.now, "*", fmt.Sprintf(format, args...)})
	}
}

func (w *World) beginNet(f *fault) {
	n := &w.net
	part := oneOf(w.faults, 20, 100, 300, 700)
	a, b := w.faults.below(len(w.hosts)), w.faults.below(len(w.hosts))
	f.what = fmt.Sprintf("%d of 1000", part)
	switch f.kind {
	case faultLoss:
		n.loss = part
		f.end = func() { n.loss = 0 }
	case faultDelay:
		n.delay, n.delayBy = part, oneOf(w.faults, 50*time.Millisecond, 500*time.Millisecond, 4*time.Second)
		f.end = func() { n.delay = 0 }
	case faultShuffle:
		n.shuffle = part
		f.end = func() { n.shuffle = 0 }
	case faultDouble:
		n.double = part
		f.end = func() { n.double = 0 }
	case faultCut:
		cut := cut{a, b, FamilyDual}
		if w.Families == FamilyDual {
			cut.family = oneOf(w.faults, FamilyIPv4, FamilyIPv6, FamilyDual)
		}
		f.what = cut.String()
		n.cuts = append(n.cuts, cut)
		f.end = func() {
			for i := range n.cuts {
				if n.cuts[i] == cut {
					n.cuts = append(n.cuts[:i], n.cuts[i+1:]...)
					break
				}
			}
			n.update()
		}
	case faultPartition:
		n.sides = make([]uint8, len(w.hosts))
		for i := range n.sides {
			n.sides[i] = uint8(w.faults.below(2))
		}
		f.what = fmt.Sprintf("%d", n.sides)
		f.end = func() { n.sides = nil }
	default:
	}
	if end := f.end; end != nil {
		f.end = func() { end(); n.update() }
	}
	n.update()
}

func (w *World) beginHost(f *fault, h *host) {
	f.what = h.name
	if !h.up || h.clock.frozen || h.suspended {
		return
	}
	if h.peer != PeerNone && f.kind != faultLink && f.kind != faultCrash && f.kind != faultFreeze {
		return // it has no agent, and after a suspend it takes over at once
	}
	switch f.kind {
	case faultLink:
		if !h.link {
			return
		}
		w.setLink(h, false)
		f.end = func() { w.setLink(h, true) }
	case faultCrash:
		w.crash(h)
		f.end = func() { w.boot(h) }
	case faultForget:
		w.crash(h)
		f.end = func() {
			h.forget()
			w.boot(h)
			for _, m := range h.members {
				w.disturb(m) // its first adverts are refused, which counts as loss
			}
		}
	case faultKill:
		if !h.agent {
			return
		}
		w.killAgent(h)
		f.end = func() {
			if h.up && !h.agent {
				w.startAgent(h)
			}
		}
	case faultPause:
		h.held++
		f.end = func() { h.held--; w.paused(h); w.unwell(h); w.revive(h) }
	case faultFreeze:
		w.freeze(h)
		f.end = func() { w.thaw(h) }
	case faultSuspend:
		w.suspend(h)
		f.end = func() { w.resume(h) }
	case faultStarve:
		h.starved++
		f.end = func() { h.starved--; w.paused(h); w.unwell(h); w.revive(h) }
	case faultRing:
		h.ringCap = w.faults.below(tinyRingSize + 1)
		f.end = func() { h.ringCap = ringSize }
	case faultSend:
		h.failing++
		f.end = func() { h.failing--; w.unwell(h) }
	case faultStall:
		h.stalling++
		f.end = func() { h.stalling--; w.unwell(h) }
	default:
	}
}

func (w *World) setLink(h *host, up bool) {
	if !h.up || h.link == up {
		return
	}
	h.link, h.began = up, w.now
	w.unwell(h)
	w.sync(h)
	for _, m := range h.members {
		w.check(m.group)
	}
}

func (w *World) freeze(h *host) {
	h.clock.freeze(w.now)
	for _, m := range h.members {
		w.check(m.group)
	}
}

func (w *World) thaw(h *host) {
	if !h.clock.frozen {
		return
	}
	h.clock.thaw(w.now)
	h.thawed = w.now
	w.unwell(h)
	for _, m := range h.members {
		w.disturb(m)
		w.check(m.group)
	}
	backlog := h.backlog
	h.backlog = nil
	for _, a := range backlog {
		w.receive(a.m, a.f)
	}
	w.revive(h)
}

func (w *World) suspend(h *host) {
	h.suspended = true
	for _, m := range h.members {
		w.check(m.group)
	}
}

// resume wakes a suspended machine. Go's timers did not run during the suspend; the agent's loop sleeps for at most a
// second.
func (w *World) resume(h *host) {
	if !h.suspended {
		return
	}
	h.suspended = false
	w.paused(h)
	h.napUntil = w.now + w.faults.between(0, time.Second)
	w.unwell(h)
	for _, m := range h.members {
		w.check(m.group)
	}
	w.revive(h)
}

// heal ends every fault.
func (w *World) heal() {
	for len(w.active) > 0 {
		w.finish(w.active[0])
	}
	for _, h := range w.hosts {
		if h.blocked != nil {
			w.unblock(h)
		}
		if w.faults.chance(500) && h.peer == PeerNone {
			w.demote(h, 0)
		}
		w.sync(h)
	}
	w.logf("everything is repaired")
}
