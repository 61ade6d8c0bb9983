// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"sync"
	"time"

	"vipd/agent/election"
)

const (
	// worthNoting is how late a wake-up of the loop has to be to be remembered.
	worthNoting = 100 * time.Millisecond
	// lagMemory is for how long, and lagsKept how many at most.
	lagMemory = 10 * time.Minute
	lagsKept  = 256
)

// rounds watches how long the loop is busy without looking at the ring, and for how long it has looked often enough.
type rounds struct {
	limit    time.Duration // a quarter of the shortest lease; 0 without groups
	logged   election.Instant
	unlogged int // slow rounds since then
	sight    sight
}

// sight is since when the loop has looked for adverts without a pause.
type sight struct{ since, last election.Instant }

// look notes that it looks now, and returns for how long it has. It looks before each group decides.
func (s *sight) look(now election.Instant) time.Duration {
	if now.Sub(s.last) > election.LongestBlink {
		s.since = now
	}
	s.last = now
	return now.Sub(s.since)
}

// slowAgain bounds the log.
const slowAgain = time.Minute

// limitRounds derives from the groups what counts as a slow round.
func (l *Loop) limitRounds() {
	l.rounds.limit = 0
	for _, g := range l.groups.order {
		if lease := l.electionConfig(g.cfg).Lease() / 4; l.rounds.limit == 0 || lease < l.rounds.limit {
			l.rounds.limit = lease
		}
	}
}

// noteRound is called at the end of each round.
func (l *Loop) noteRound(began, now election.Instant) {
	r, took := &l.rounds, now.Sub(began)
	if r.limit == 0 || took <= r.limit {
		return
	}
	l.metrics.CountSlowRound()
	r.unlogged++
	if r.logged != 0 && now.Sub(r.logged) < slowAgain {
		return
	}
	l.log.Warn("a round of the loop took more than a quarter of the shortest lease: an advertisement may come too late",
		"took", took, "limit", r.limit, "groups", len(l.groups.order), "slow_rounds", r.unlogged)
	r.logged, r.unlogged = now, 0
}

// lags remembers when the loop was not scheduled in time. The loop writes, the doctor reads.
type lags struct {
	mu     sync.Mutex
	events []lag // oldest first
}

type lag struct {
	at election.Instant
	by time.Duration
}

// note is called with every wake-up, which should have come at due at the latest.
func (l *lags) note(now, due election.Instant) {
	by := now.Sub(due)
	if by < worthNoting {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) == lagsKept {
		l.events = append(l.events[:0], l.events[1:]...)
	}
	l.events = append(l.events, lag{now, by})
}

// lately returns how often the loop had a lag in the time that is remembered, and the worst of it.
func (l *lags) lately(now election.Instant) (count int, worst lag) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if now.Sub(e.at) > lagMemory {
			continue
		}
		count++
		if e.by > worst.by {
			worst = e
		}
	}
	return count, worst
}
