// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"vipd/agent/election"
	"vipd/agent/wire"
)

func TestSequenceRisesOverCrashes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sequence")
	now := time.Unix(1_800_000_000, 0)
	log := slog.New(slog.DiscardHandler)
	last := uint32(0)
	for life := range 4 {
		s := openSequence(path, now, log)
		for range sequenceBlock + 100 { // more than one block, then a crash
			n := s.draw()
			if s.busy { // the disk is that fast; a crash loses nothing it has
				if err := <-s.stored; err != nil {
					t.Fatal(err)
				}
				s.busy = false
			}
			if n <= last {
				t.Fatalf("life %d: %d after %d", life, n, last)
			}
			last = n
		}
		close(s.pending)
	}
}

func TestSequenceOfALostFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sequence")
	if err := os.WriteFile(path, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openSequence(path, time.Unix(1_800_000_000, 0), slog.New(slog.DiscardHandler))
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	if n := s.draw(); n != 1_800_000_001 {
		t.Errorf("first number %d, want one after the time of day", n)
	}
}

// A state_dir that cannot be written costs a warning, not the service.
func TestSequenceWithoutADisk(t *testing.T) {
	s := openSequence(filepath.Join(t.TempDir(), "missing", "sequence"), time.Unix(1_800_000_000, 0), slog.New(slog.DiscardHandler))
	if n := s.draw(); n != 1_800_000_001 {
		t.Errorf("first number %d, want one after the time of day", n)
	}
	if err := s.close(); err == nil {
		t.Error("close says nothing of the disk that failed")
	}
}

// An OpenBSD peer takes an advert with its own counter for a loop: what we heard last is never what we send next.
func TestNextCounterIsNotWhatWasHeardLast(t *testing.T) {
	for _, heard := range []bool{false, true} {
		b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
		g, src := b.order[0], netip.MustParseAddr("192.0.2.11")
		p := election.Priority{AdvBase: 1}
		next := g.seal.Counter(b.sequence.next+1, wire.Sealed{Src: src, AdvBase: 1})
		if heard {
			ev := b.advert("eth0@1", 0)
			ev.Counter = next
			b.ring = append(b.ring, ev)
			b.pass(0)
		}
		if got := b.sealedCounter(g, p, src); (got == next) == heard {
			t.Errorf("heard it: %v; our next counter is %#x, a peer's last one was %#x", heard, got, next)
		}
	}
}
