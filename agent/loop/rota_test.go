// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"testing"
	"time"

	"vipd/agent/election"
)

// Entries that came in one burst come round in bounded turns, each after its interval and well before three of them.
func TestRotaSpreadsABurst(t *testing.T) {
	for _, n := range []int{1, rotaTurn, 1000, 30_000} {
		r := rota[int]{interval: renewEvery}
		now := election.Instant(startTime)
		for i := range n {
			r.add(i, now)
		}
		most, seen := 0, 0
		for seen < 3*n {
			at := r.next()
			if at < now {
				t.Fatalf("%d entries: a turn in the past", n)
			}
			now = at
			due := r.turn(now)
			most, seen = max(most, len(due)), seen+len(due)
			for _, e := range due {
				if wait := now.Sub(e.added); wait < renewEvery || wait > 2*renewEvery {
					t.Fatalf("%d entries: one comes round after %v, want %v to %v", n, wait, renewEvery, 2*renewEvery)
				}
				r.add(e.what, now)
			}
		}
		if limit := rotaTurn + n/100; most > limit {
			t.Errorf("%d entries: up to %d in a turn, want at most %d", n, most, limit)
		}
	}
}

// What is not due is left alone, and an empty rota needs no turn.
func TestRotaWaits(t *testing.T) {
	r := rota[string]{interval: time.Second}
	now := election.Instant(startTime)
	if r.next() != 0 || r.turn(now) != nil {
		t.Error("an empty rota has something to do")
	}
	r.add("first", now)
	r.add("second", now.Add(time.Second/2))
	if due := r.turn(now.Add(time.Second - 1)); due != nil {
		t.Errorf("%v before its time", due)
	}
	if due := r.turn(now.Add(time.Second)); len(due) != 1 || due[0].what != "first" {
		t.Errorf("%v, want the first alone", due)
	}
}
