// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"vipd/agent/election"
)

// agenda is the groups in the order of their machines' deadlines, as a heap: a round costs what is due, not what is
// configured.
type agenda struct{ byDeadline }

// appointment is a group's place on the agenda.
type appointment struct {
	at    election.Instant
	slice time.Duration // how much sooner it may be, together with others
	no    int           // in the heap, counted from 1; 0: no deadline
}

// set notes the deadline of the group's machine, or that it has none.
func (a *agenda) set(g *group, at election.Instant, slice time.Duration, ok bool) {
	p := &g.appointment
	p.slice = slice
	switch {
	case !ok:
		a.drop(g)
	case p.no == 0:
		p.at = at
		heap.Push(&a.byDeadline, g)
	case p.at != at:
		p.at = at
		heap.Fix(&a.byDeadline, p.no-1)
	}
}

// drop takes the group off the agenda.
func (a *agenda) drop(g *group) {
	if g.appointment.no > 0 {
		heap.Remove(&a.byDeadline, g.appointment.no-1)
	}
}

// next returns the earliest deadline, 0 if there is none.
func (a *agenda) next() election.Instant {
	if len(a.byDeadline) == 0 {
		return 0
	}
	return a.byDeadline[0].appointment.at
}

// due appends the groups whose machines want to decide to dst, the earliest deadline first, and with them those that
// may decide now. Nothing is due before the first deadline.
func (a *agenda) due(now election.Instant, dst []*group) []*group {
	first := len(dst)
	if at := a.next(); at == 0 || at > now {
		return dst
	}
	dst = a.below(0, now, dst)
	slices.SortFunc(dst[first:], func(x, y *group) int {
		return cmp.Or(cmp.Compare(x.appointment.at, y.appointment.at), cmp.Compare(x.name, y.name))
	})
	return dst
}

// byDeadline is the heap.
type byDeadline []*group

// below appends what is due of the heap from entry i down.
func (h byDeadline) below(i int, now election.Instant, dst []*group) []*group {
	if i >= len(h) || h[i].appointment.at > now.Add(election.MaxSlice) {
		return dst
	}
	if h[i].due(now) {
		dst = append(dst, h[i])
	}
	return h.below(2*i+2, now, h.below(2*i+1, now, dst))
}

// Len, Less, Swap, Push and Pop are for container/heap.
func (h byDeadline) Len() int { return len(h) }

func (h byDeadline) Less(i, j int) bool { return h[i].appointment.at < h[j].appointment.at }

func (h byDeadline) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].appointment.no, h[j].appointment.no = i+1, j+1
}

func (h *byDeadline) Push(x any) {
	g := x.(*group)
	*h = append(*h, g)
	g.appointment.no = len(*h)
}

func (h *byDeadline) Pop() any {
	last := len(*h) - 1
	g := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	g.appointment.no = 0
	return g
}
