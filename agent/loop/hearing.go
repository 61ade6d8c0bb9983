// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"net/netip"
	"time"

	"vipd/agent/election"
	"vipd/agent/view"
	"vipd/loader"
)

// hearing is what a group has heard, and whether it could have heard more.
type hearing struct {
	last      election.Instant    // receive time of the newest advert given to the machine
	interval  time.Duration       // that it stated: the beat, or that of its priority; 0: none was heard
	repeated  election.Instant    // the same of those that the kernel withheld
	counter   uint64              // of the newest advert, never sent by us next
	repeats   election.Repeats    // what the kernel may withhold
	withheld  [2]election.Instant // as the kernel was told
	proven    [2]bool             // whether what it may withhold has trailers
	met       map[netip.Addr]bool // sources that have proven themselves
	limitedAt int64               // when a digest budget last ran out, as far as known
	blind     bool                // one has since the last tick: silence is no evidence
	noRoom    bool                // a vipd node proved itself for which the kernel has no room
	deaf      election.Instant    // the programs were last found not attached for a while since then: the same; 0: never
}

// knows reports whether an advert, or a newer one that the kernel reported, was heard already. Two CPUs may stamp two
// families' adverts alike: the counter distinguishes them.
func (h *hearing) knows(ev loader.Event) bool {
	at := election.Instant(ev.At)
	return at < h.last || at == h.last && ev.Counter == h.counter
}

// note converts a kernel event to the machine's and notes it as heard.
func (h *hearing) note(ev loader.Event) election.Advert {
	h.last = election.Instant(ev.At)
	if h.last >= h.repeated {
		h.counter = ev.Counter
	}
	a := election.Advert{
		At: h.last, Src: ev.Src,
		Priority: election.Priority{AdvBase: ev.AdvBase, AdvSkew: ev.AdvSkew, Demote: ev.Demote},
		Aware:    ev.DemoteAware, DemoteEver: ev.DemoteEver, Yielded: ev.Yielded, Generation: ev.Generation,
	}
	if ev.Proven {
		a.Beat = time.Duration(ev.Beat) * time.Microsecond
	}
	h.interval = a.Interval()
	h.proven[election.FamilyOf(a.Src)-election.IPv4] = ev.Proven
	h.repeats.Note(a)
	return a
}

// again notes an advert that the kernel withheld as heard. What was refused before, and a time without programs before,
// say nothing about the silence after it.
func (h *hearing) again(a election.Advert, counter uint64) {
	h.repeated = max(h.repeated, a.At)
	if h.repeated >= h.last {
		h.counter = counter
	}
	h.limitedAt = max(h.limitedAt, int64(a.At))
	if h.deaf < a.At {
		h.deaf = 0
	}
}

// masterProven reports whether the present master sends trailers.
func (h *hearing) masterProven(v *election.View) bool {
	return v.Heard && h.proven[election.FamilyOf(v.Master.Src)-election.IPv4]
}

// hear gives an advert to the group's machine, unless it knows it or a newer one.
func (g *group) hear(ev loader.Event) {
	if g.hearing.knows(ev) {
		return
	}
	g.env.recorder.Heard(g.name, ev.At, int64(g.env.clock.Now())-ev.At)
	g.heed(ev.Src, ev.Counter, ev.Proven)
	g.hearWithheld(election.Instant(ev.At))
	g.step(g.hearing.note(ev))
}

// heed notes what a trailer proves. This node's next number is higher than that of a vipd node that was heard: a node
// that lost its state while its clock is behind would be refused as a replay for as long as its peers run, but the peer
// that owned the addresses meanwhile heard it, and speaks with higher numbers than it ever did (Lamport 1978).
func (g *group) heed(src netip.Addr, number uint64, proven bool) {
	if !proven {
		return
	}
	g.env.sequence.Raise(number)
	g.meet(src)
}

// hearWithheld gives the machine the adverts that the kernel withheld up to a time, if there are any. It makes no
// system call.
func (g *group) hearWithheld(upTo election.Instant) {
	adverts, n := g.withheld(upTo)
	for _, a := range adverts[:n] {
		g.step(a)
	}
}

func (g *group) withheld(upTo election.Instant) (adverts [2]election.Advert, n int) {
	if g.entry.plane == nil {
		return adverts, 0
	}
	h := &g.hearing
	heard := g.entry.plane.Heard()
	adverts, n = h.repeats.Withheld(view.HeardAt(heard), upTo)
	for _, a := range adverts[:n] {
		f := election.FamilyOf(a.Src) - election.IPv4
		counter := heard[f].Counter
		g.heed(a.Src, counter, h.proven[f])
		h.again(a, counter)
	}
	return adverts, n
}

// ahead returns by how much earlier than due the group may be looked at: a quarter of its interval, or of the master's
// if that is shorter.
func (g *group) ahead() time.Duration {
	interval := election.Priority{AdvBase: g.cfg.AdvBase, AdvSkew: g.cfg.AdvSkew}.Interval()
	if heard := g.hearing.interval; heard > 0 {
		interval = min(interval, heard)
	}
	return min(interval/4, maxAhead)
}

// permit tells the kernel which adverts it may withhold now.
func (g *group) permit() {
	h := &g.hearing
	if of := h.repeats.Settle(g.machine); of != h.withheld && g.entry.plane != nil {
		h.withheld = of
		g.entry.plane.Withhold([2]int64{int64(of[0]), int64(of[1])})
	}
}

// renews reports whether all that is due is the regular advert of an owner. What the kernel saw last is looked at just
// before it leaves (heardMeanwhile), and can change nothing sooner.
func (g *group) renews(now election.Instant) bool { return g.appointment.slice > 0 && g.owns(now) }

// hearKernel applies the group's seen entry in the kernel: the newest advert in case the ring was full, and a yield
// that no event reported (design I2, I3).
func (g *group) hearKernel() {
	seen, err := g.entry.plane.Latest(int64(g.env.clock.Now()))
	if err != nil {
		g.env.log.Error("cannot read what the kernel saw last", "group", g.name, "err", err)
		return
	}
	g.noteRoom(seen.NoRoomAt)
	if seen.Count > 0 && election.Instant(seen.At) > g.hearing.repeated {
		g.hear(seen.Event)
	}
	g.hearing.blind = seen.LimitedAt > g.hearing.limitedAt
	g.hearing.limitedAt = seen.LimitedAt
	v := g.machine.View()
	if v.State == election.Master && seen.YieldedGeneration >= v.Generation {
		g.step(election.Yielded{Generation: v.Generation})
	}
}

// heardMeanwhile asks the kernel, before the group speaks, whether it still may: a full ring cannot hide a yield
// (design I2). It returns the newest advert if the machine does not know it, or nil, and whether XDP has fenced the
// present generation. It would have, had that advert come after the new role and not just before it, when the batch had
// been read already.
func (g *group) heardMeanwhile(v *election.View) (news election.Event, yielded bool) {
	seen, err := g.entry.plane.Latest(int64(g.env.clock.Now()))
	if err != nil {
		g.env.log.Error("cannot read what the kernel saw last", "group", g.name, "err", err)
		return nil, false
	}
	g.noteRoom(seen.NoRoomAt)
	if at := election.Instant(seen.At); at > max(g.hearing.last, g.hearing.repeated) {
		g.heed(seen.Src, seen.Counter, seen.Proven)
		news = g.hearing.note(seen.Event)
	}
	if !v.Claiming { // refused while we own: this says nothing about a silence after it
		g.hearing.limitedAt = max(g.hearing.limitedAt, seen.LimitedAt)
	}
	return news, seen.YieldedGeneration >= v.Generation
}

// tick lets the machine decide. The loop has looked for adverts for so long without a pause.
func (g *group) tick(watched time.Duration) {
	h := &g.hearing
	g.step(election.Tick{Blind: h.blind || h.deaf > 0, Watched: watched})
	h.blind, h.deaf = false, 0
}
