// SPDX-License-Identifier: Apache-2.0

package sim

import "time"

// happening is a scheduled event of the world.
type happening struct {
	at    time.Duration
	seq   uint64 // order of insertion, breaks ties
	frame *frame // arrives at the members of its group in class, or at to alone
	to    *member
	class int32
	kind  happeningKind
	host  *host  // kindTurn
	call  func() // kindCall
}

type happeningKind uint8

const (
	kindArrival happeningKind = iota // of a frame at all members of a latency class
	kindSingle                       // of a frame at one member, delayed or doubled
	kindTurn                         // an agent wakes up for its ring
	kindCall                         // a fault begins or ends, an audit, ...
)

func (h *happening) before(o *happening) bool {
	return h.at < o.at || h.at == o.at && h.seq < o.seq
}

// queue is a binary heap of scheduled events.
type queue struct {
	heap []happening
	seq  uint64
}

func (q *queue) push(h happening) {
	q.seq++
	h.seq = q.seq
	q.heap = append(q.heap, h)
	i := len(q.heap) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !q.heap[i].before(&q.heap[parent]) {
			return
		}
		q.heap[i], q.heap[parent] = q.heap[parent], q.heap[i]
		i = parent
	}
}

// next returns the time of the first event.
func (q *queue) next() time.Duration {
	if len(q.heap) == 0 {
		return never
	}
	return q.heap[0].at
}

func (q *queue) pop() happening {
	first, last := q.heap[0], len(q.heap)-1
	q.heap[0] = q.heap[last]
	q.heap[last] = happening{}
	q.heap = q.heap[:last]
	i := 0
	for {
		child := 2*i + 1
		if child >= last {
			return first
		}
		if child+1 < last && q.heap[child+1].before(&q.heap[child]) {
			child++
		}
		if !q.heap[child].before(&q.heap[i]) {
			return first
		}
		q.heap[i], q.heap[child] = q.heap[child], q.heap[i]
		i = child
	}
}

// alarms is an index heap of the machines' deadlines. An alarm may ring too early, never too late: an advert usually
// postpones a deadline, and the handler checks it again. So a BACKUP costs one heap operation per three adverts.
type alarms struct{ heap []alarm }

type alarm struct {
	at time.Duration
	m  *member
}

func (a alarm) before(o alarm) bool {
	return a.at < o.at || a.at == o.at && a.m.id < o.m.id
}

func (a *alarms) next() time.Duration {
	if len(a.heap) == 0 {
		return never
	}
	return a.heap[0].at
}

// set makes m's alarm ring at the given time or earlier.
func (a *alarms) set(m *member, at time.Duration) {
	switch {
	case m.slot == 0:
		if at == never {
			return
		}
		m.alarm = at
		a.heap = append(a.heap, alarm{at, m})
		m.slot = int32(len(a.heap))
		a.up(len(a.heap) - 1)
	case at < m.alarm:
		m.alarm = at
		a.heap[m.slot-1].at = at
		a.up(int(m.slot - 1))
	}
}

// put moves the first alarm, which has rung, to a later time, or removes it.
func (a *alarms) put(at time.Duration) {
	if at != never {
		a.heap[0].at, a.heap[0].m.alarm = at, at
		a.down(0)
		return
	}
	last := len(a.heap) - 1
	a.heap[0].m.slot = 0
	if last > 0 {
		a.heap[0] = a.heap[last]
		a.heap[0].m.slot = 1
	}
	a.heap = a.heap[:last]
	a.down(0)
}

func (a *alarms) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !a.heap[i].before(a.heap[parent]) {
			return
		}
		a.swap(i, parent)
		i = parent
	}
}

func (a *alarms) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(a.heap) {
			return
		}
		if child+1 < len(a.heap) && a.heap[child+1].before(a.heap[child]) {
			child++
		}
		if !a.heap[child].before(a.heap[i]) {
			return
		}
		a.swap(i, child)
		i = child
	}
}

func (a *alarms) swap(i, j int) {
	a.heap[i], a.heap[j] = a.heap[j], a.heap[i]
	a.heap[i].m.slot, a.heap[j].m.slot = int32(i+1), int32(j+1)
}
