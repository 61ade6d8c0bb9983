// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"sync"
	"time"

	"vipd/agent/election"
)

const (
	// worthNoting is how late a wake-up of the loop has to be to be remembered.
	worthNoting = 100 * time.Millisecond
	// lateMemory is for how long, and lateKept how many at most.
	lateMemory = 10 * time.Minute
	lateKept   = 256
)

// lateness remembers when the loop was not run in time. The loop writes, the doctor
// reads.
type lateness struct {
	mu     sync.Mutex
	events []lateWake // oldest first
}

type lateWake struct {
	at election.Instant
	by time.Duration
}

// note is called with every wake-up: it was to be at due at the latest.
func (l *lateness) note(now, due election.Instant) {
	by := now.Sub(due)
	if by < worthNoting {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) == lateKept {
		l.events = append(l.events[:0], l.events[1:]...)
	}
	l.events = append(l.events, lateWake{now, by})
}

// lately returns how often the loop was late in the time that is remembered, and the
// worst of it.
func (l *lateness) lately(now election.Instant) (count int, worst lateWake) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if now.Sub(e.at) > lateMemory {
			continue
		}
		count++
		if e.by > worst.by {
			worst = e
		}
	}
	return count, worst
}
