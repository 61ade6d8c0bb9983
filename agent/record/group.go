// SPDX-License-Identifier: Apache-2.0

package record

import (
	"cmp"
	"slices"
)

// group is what is remembered of one group, and where its samples come from.
type group struct {
	name, ifname string
	plane        Plane // nil while it is in no data plane
	state        string

	adverts    ring
	neighbours ring
	states     ring
	rejects    fair

	open     *incident // still being recorded
	pace     bucket
	captures []*Capture
	// missed of earlier places in the data plane, which have counters of their own.
	missedBefore uint64
}

func (g *group) resize(per int) {
	g.adverts.resize(per / 2)
	g.neighbours.resize(per / 4)
	g.rejects.resize(per * 3 / 16)
	g.states.resize(per / 16)
}

// take puts an entry where it belongs, and into what is being recorded of the group.
func (g *group) take(e entry) {
	switch {
	case e.Transition != nil:
		g.states.add(e)
	case e.shelf() == shelfAdverts:
		g.adverts.add(e)
	case e.shelf() == shelfRejects:
		g.rejects.add(e)
	default:
		g.neighbours.add(e)
	}
	if g.open != nil && g.open.room() {
		g.open.Entries = append(g.open.Entries, e)
	}
}

// lag notes when the agent had the advert of a time.
func (g *group) lag(at, lag int64) {
	if e := g.adverts.find(at); e != nil {
		e.Lag = lag
	}
	if g.open == nil {
		return
	}
	for i := len(g.open.Entries) - 1; i >= 0; i-- {
		if e := &g.open.Entries[i]; e.At == at && e.Kind == loaderAuthentic && e.Transition == nil {
			e.Lag = lag
			return
		}
	}
}

// Frozen before a transition, and recorded after it.
const (
	frozenAdverts    = 96
	frozenNeighbours = 48
	frozenRejects    = 48
	frozenStates     = 8
	recordedAfter    = 96
)

// before is the newest of everything, in the order of time.
func (g *group) before() []entry {
	all := slices.Concat(g.adverts.newest(frozenAdverts), g.neighbours.newest(frozenNeighbours),
		g.rejects.newest(frozenRejects), g.states.newest(frozenStates))
	sortEntries(all)
	return all
}

func sortEntries(all []entry) {
	slices.SortStableFunc(all, func(a, b entry) int { return cmp.Compare(a.At, b.At) })
}

// missed counts frames that no sample tells of.
func (g *group) missed() uint64 {
	n := g.missedBefore
	if g.plane == nil {
		return n
	}
	st, err := g.plane.TapStats()
	if err != nil { // it has just left the data plane
		return n
	}
	return n + st.Skipped + st.Lost
}

// stateAt is the state at a time by the transitions among entries in order of time.
func stateAt(all []entry, at int64, otherwise string) string {
	state := otherwise
	first := true
	for i := range all {
		t := all[i].Transition
		if t == nil {
			continue
		}
		if all[i].At > at {
			if first {
				return t.From
			}
			break
		}
		state, first = t.To, false
	}
	return state
}

// bucket lets through a burst, and then one in every refill ns.
type bucket struct {
	burst  int
	refill int64
	spent  int64 // the time up to which it is paid for
}

func (b *bucket) take(now int64) bool {
	full := now - int64(b.burst)*b.refill
	if b.spent == 0 {
		b.spent = full // now may be soon after the boot
	}
	at := max(b.spent, full)
	if at+b.refill > now {
		return false
	}
	b.spent = at + b.refill
	return true
}
