// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
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
