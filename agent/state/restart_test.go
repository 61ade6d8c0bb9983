// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/state/sequence"
)

// looseDir returns a directory in which a writer may still be at work when the test ends.
func looseDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vipd-state") //nolint:usetesting // t.TempDir fails while a writer is at work
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// startDay is the time of day at the first start.
var startDay = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// What is on the disk with a time in it survives a clock that was set back before the restart: maintenance mode stays,
// the history keeps its order, and the numbers of adverts keep rising, so that no peer takes them for replays.
func TestClockSetBackBeforeARestart(t *testing.T) {
	t.Parallel()
	dir := looseDir(t)
	log := slog.New(slog.DiscardHandler)
	now := startDay

	maintenance := NewSwitch(filepath.Join(dir, "maintenance"))
	if err := maintenance.Set(true, now); err != nil {
		t.Fatal(err)
	}
	open := func() *sequence.Numbers {
		return sequence.Open(sequence.Options{
			Note: filepath.Join(dir, "note"), Reservation: filepath.Join(dir, "sequence"), Now: now, Log: log,
			Boot: func() int64 { return 1 },
		})
	}
	s := open()
	last := uint64(0)
	for range 100 {
		last = s.Next()
	}
	h := NewHistory(log)
	h.Open(filepath.Join(dir, "history"))
	h.Add(api.Transition{Time: now, Group: "eth0@1", To: "MASTER"})
	h.Close(time.Second)

	for life, set := range []time.Duration{-time.Hour, time.Hour, -time.Hour, -24 * time.Hour} {
		now = now.Add(set)
		if on, since, err := maintenance.On(); err != nil || !on || !since.Equal(startDay) {
			t.Errorf("maintenance is %v since %v (%v)", on, since, err)
		}
		s := open()
		for range 100 {
			n := s.Next()
			if n <= last {
				t.Fatalf("life %d: number %d after %d", life, n, last)
			}
			last = n
		}
		if life%2 == 0 {
			s.Close()
		} // else killed: nothing is given back
		h := NewHistory(log)
		h.Open(filepath.Join(dir, "history"))
		h.Add(api.Transition{Time: now, Group: "eth0@1", To: fmt.Sprintf("LIFE%d", life)})
		h.Close(time.Second)
	}
	h = NewHistory(log)
	h.Open(filepath.Join(dir, "history"))
	h.Close(time.Second)
	var order []string
	for _, tr := range h.Last("", 0).Transitions {
		order = append(order, tr.To)
	}
	if want := []string{"MASTER", "LIFE0", "LIFE1", "LIFE2", "LIFE3"}; !slices.Equal(order, want) {
		t.Errorf("history goes %v, want %v", order, want)
	}
}
