// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"time"

	"vipd/agent/election"
)

// rota is upkeep that comes round: each entry after the same interval, the oldest first. A turn takes a bounded part of
// what is due, so that a takeover of thousands of addresses does not come back as one burst.
type rota[T any] struct {
	interval time.Duration
	entries  []rotaEntry[T] // oldest first
	turnAt   election.Instant
}

type rotaEntry[T any] struct {
	what  T
	added election.Instant
}

const (
	// rotaPause is the least time between two turns, rotaTurn how many entries a turn takes at least. It takes so many
	// more of a long list that all come round within half the interval.
	rotaPause = 50 * time.Millisecond
	rotaTurn  = 16
)

func (r *rota[T]) add(what T, now election.Instant) {
	r.entries = append(r.entries, rotaEntry[T]{what, now})
}

// next returns when the next turn is, 0 if there is nothing to do.
func (r *rota[T]) next() election.Instant {
	if len(r.entries) == 0 {
		return 0
	}
	return max(r.turnAt, r.entries[0].added.Add(r.interval))
}

// turn removes what is due, or a part of it.
func (r *rota[T]) turn(now election.Instant) []rotaEntry[T] {
	if len(r.entries) == 0 || now < r.next() {
		return nil
	}
	r.turnAt = now.Add(rotaPause)
	most := min(rotaTurn+len(r.entries)*int(2*rotaPause)/int(r.interval), len(r.entries))
	n := 0
	for n < most && now.Sub(r.entries[n].added) >= r.interval {
		n++
	}
	due := r.entries[:n:n]
	r.entries = r.entries[n:]
	return due
}
