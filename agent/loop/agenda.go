// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"vipd/agent/election"
)

// agenda is groups in the order of their deadlines, as a heap: a round costs what is due, not what is configured. The
// machines have one, and the hellos another.
type agenda struct{ byDeadline }

// appointment is a group's place on an agenda.
type appointment struct {
	of    *group
	at    election.Instant
	slice time.Duration // how much sooner it may be, together with others
	no    int           // in the heap, counted from 1; 0: no deadline
}

// set notes the deadline of the group's machine, or that it has none.
func (a *agenda) set(g *group, at election.Instant, slice time.Duration, ok bool) {
	g.appointment.slice = slice
	if ok {
		a.put(&g.appointment, g, at)
	} else {
		a.drop(&g.appointment)
	}
}

// put notes the deadline of an appointment of the group.
func (a *agenda) put(p *appointment, g *group, at election.Instant) {
	switch {
	case p.no == 0:
		p.of, p.at = g, at
		heap.Push(&a.byDeadline, p)
	case p.at != at:
		p.at = at
		heap.Fix(&a.byDeadline, p.no-1)
	}
}

// drop takes an appointment off the agenda.
func (a *agenda) drop(p *appointment) {
	if p.no > 0 {
		heap.Remove(&a.byDeadline, p.no-1)
	}
}

// next returns the earliest deadline, 0 if there is none.
func (a *agenda) next() election.Instant {
	if len(a.byDeadline) == 0 {
		return 0
	}
	return a.byDeadline[0].at
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
type byDeadline []*appointment

// below appends what is due of the heap from entry i down.
func (h byDeadline) below(i int, now election.Instant, dst []*group) []*group {
	if i >= len(h) || h[i].at > now.Add(election.MaxSlice) {
		return dst
	}
	if h[i].due(now) {
		dst = append(dst, h[i].of)
	}
	return h.below(2*i+2, now, h.below(2*i+1, now, dst))
}

// due reports whether the time has come.
func (p *appointment) due(now election.Instant) bool { return p.no > 0 && p.at.Add(-p.slice) <= now }

// Len, Less, Swap, Push and Pop are for container/heap.
func (h byDeadline) Len() int { return len(h) }

func (h byDeadline) Less(i, j int) bool { return h[i].at < h[j].at }

func (h byDeadline) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].no, h[j].no = i+1, j+1
}

func (h *byDeadline) Push(x any) {
	p := x.(*appointment)
	*h = append(*h, p)
	p.no = len(*h)
}

func (h *byDeadline) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	p.no = 0
	return p
}
