// SPDX-License-Identifier: Apache-2.0

package record

import (
	"cmp"
	"slices"
)

// group has the entries of one group and the source of its samples.
type group struct {
	name, ifname string
	plane        Plane  // nil while the group is not in the data plane
	slot         uint32 // its last one there
	state        string

	adverts    ring
	neighbours ring
	states     ring
	rejects    fair

	open     *incident // being recorded
	pace     bucket
	captures []*Capture
	// missedBefore is the count of earlier slots in the data plane, which have their own counters.
	missedBefore uint64
}

func (g *group) resize(per int) {
	g.adverts.resize(per / 2)
	g.neighbours.resize(per / 4)
	g.rejects.resize(per * 3 / 16)
	g.states.resize(per / 16)
}

// take adds an entry to its ring and to the open incident.
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
		g.open.Entries = append(g.open.Entries, e.owned())
	}
}

// lag sets the lag of the advert that was received at a time.
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

// Limits of an incident: entries from before the transition by ring, and entries after it.
const (
	frozenAdverts    = 96
	frozenNeighbours = 48
	frozenRejects    = 48
	frozenStates     = 8
	recordedAfter    = 96
)

// before returns the newest entries of all rings, sorted by time.
func (g *group) before() []entry {
	all := slices.Concat(g.adverts.newest(frozenAdverts), g.neighbours.newest(frozenNeighbours),
		g.rejects.newest(frozenRejects), g.states.newest(frozenStates))
	sortEntries(all)
	return all
}

func sortEntries(all []entry) {
	slices.SortStableFunc(all, func(a, b entry) int { return cmp.Compare(a.At, b.At) })
}

// missed counts the frames without a sample.
func (g *group) missed() uint64 {
	n := g.missedBefore
	if g.plane == nil {
		return n
	}
	st, err := g.plane.TapStats()
	if err != nil { // it was just removed from the data plane
		return n
	}
	return n + st.Skipped + st.Lost
}

// stateAt returns the state at a time, from the transitions among entries sorted by time.
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

// bucket admits a burst, and then one per refill ns.
type bucket struct {
	burst  int
	refill int64
	spent  int64 // the time until which tokens are used up
}

func (b *bucket) take(now int64) bool {
	full := now - int64(b.burst)*b.refill
	if b.spent == 0 {
		b.spent = full // now may be shortly after the boot
	}
	at := max(b.spent, full)
	if at+b.refill > now {
		return false
	}
	b.spent = at + b.refill
	return true
}
