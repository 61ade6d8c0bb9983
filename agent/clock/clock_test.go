// SPDX-License-Identifier: Apache-2.0

package clock

import (
	"testing"
	"time"

	"vipd/agent/election"
)

func TestWallClockIsSteadyAndFollowsASetClock(t *testing.T) {
	w := New()
	day := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	since := election.Instant(1000 * time.Second)
	now := since.Add(time.Minute)

	first := w.at(since, now, day)
	if want := day.Add(-time.Minute); !first.Equal(want) {
		t.Fatalf("at = %v, want %v", first, want)
	}
	// A second later, the two clocks read 3 ms apart.
	if again := w.at(since, now.Add(time.Second), day.Add(time.Second+3*time.Millisecond)); !again.Equal(first) {
		t.Errorf("the same instant moved from %v to %v", first, again)
	}
	stepped := w.at(since, now.Add(2*time.Second), day.Add(time.Hour+2*time.Second))
	if want := first.Add(time.Hour); !stepped.Equal(want) {
		t.Errorf("after the clock was set: %v, want %v", stepped, want)
	}
}
