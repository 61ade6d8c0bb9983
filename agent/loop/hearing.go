// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"vipd/agent/election"
	"vipd/loader"
)

// hearing is what a group has heard, and whether it could have heard more.
type hearing struct {
	last      election.Instant // receive time of the newest advert given to the machine
	counter   uint64           // of that advert, never sent by us next
	limitedAt int64            // when a digest budget last ran out, as far as known
	blind     bool             // one has since the last tick: silence is no evidence
	deaf      bool             // the programs were not attached for a while since then: the same
}

// knows reports whether an advert, or a newer one, was heard already. Two CPUs may stamp two families' adverts alike:
// the counter distinguishes them.
func (h *hearing) knows(ev loader.Event) bool {
	at := election.Instant(ev.At)
	return at < h.last || at == h.last && ev.Counter == h.counter
}

// note converts a kernel event to the machine's and notes it as heard.
func (h *hearing) note(ev loader.Event) election.Advert {
	h.last, h.counter = election.Instant(ev.At), ev.Counter
	return election.Advert{
		At: h.last, Src: ev.Src,
		Priority: election.Priority{AdvBase: ev.AdvBase, AdvSkew: ev.AdvSkew, Demote: ev.Demote},
		Aware:    ev.DemoteAware, DemoteEver: ev.DemoteEver, Yielded: ev.Yielded, Generation: ev.Generation,
	}
}

// hear gives an advert to the group's machine, unless it knows it or a newer one.
func (g *group) hear(ev loader.Event) {
	if g.hearing.knows(ev) {
		return
	}
	g.env.recorder.Heard(g.name, ev.At, int64(g.env.clock.Now())-ev.At)
	g.signing.raise(g.env.sequence, ev)
	g.step(g.hearing.note(ev))
}

// hearKernel applies the group's seen entry in the kernel: the newest advert in case the ring was full, and a yield
// that no event reported (design I2, I3).
func (g *group) hearKernel() {
	seen, err := g.entry.plane.Seen()
	if err != nil {
		g.env.log.Error("cannot read what the kernel saw last", "group", g.name, "err", err)
		return
	}
	if seen.Count > 0 {
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
func (g *group) heardMeanwhile() (news election.Event, yielded bool) {
	seen, err := g.entry.plane.Seen()
	if err != nil {
		g.env.log.Error("cannot read what the kernel saw last", "group", g.name, "err", err)
		return nil, false
	}
	if at := election.Instant(seen.At); at > g.hearing.last {
		g.signing.raise(g.env.sequence, seen.Event)
		news = g.hearing.note(seen.Event)
	}
	return news, seen.YieldedGeneration >= g.machine.View().Generation
}

// tick lets the machine decide.
func (g *group) tick() {
	h := &g.hearing
	g.step(election.Tick{Blind: h.blind || h.deaf})
	h.blind, h.deaf = false, false
}
