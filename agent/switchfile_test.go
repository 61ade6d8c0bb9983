// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSwitchFile(t *testing.T) {
	dir := t.TempDir()
	s := switchFile{filepath.Join(dir, "maintenance")}
	when := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

	expect := func(want bool, since time.Time) {
		t.Helper()
		on, at, err := s.on()
		if err != nil || on != want || !at.Equal(since) {
			t.Fatalf("on() = %v, %v, %v, want %v, %v", on, at, err, want, since)
		}
	}
	set := func(on bool, at time.Time) {
		t.Helper()
		if err := s.set(on, at); err != nil {
			t.Fatal(err)
		}
	}
	expect(false, time.Time{})
	set(true, when)
	expect(true, when)
	set(true, when.Add(time.Hour)) // idempotent: since when does not move
	expect(true, when)
	set(false, when)
	expect(false, time.Time{})
	set(false, when)

	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Fatalf("files left in the directory: %v, %v", left, err)
	}
}

// A crash or a full disk may leave anything in the file; the intent was to be
// out of service, and only the operator takes that back.
func TestSwitchFileDamagedStaysOn(t *testing.T) {
	for _, content := range []string{"", "{", "\x00\x00\x00", `{"since":"yesterday"}`} {
		s := switchFile{filepath.Join(t.TempDir(), "maintenance")}
		if err := os.WriteFile(s.path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if on, _, err := s.on(); !on || err != nil {
			t.Errorf("content %q: on() = %v, %v, want true", content, on, err)
		}
	}
}

func TestSwitchFileFailureChangesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	s := switchFile{filepath.Join(dir, "maintenance")}
	if err := s.set(true, time.Now()); err == nil {
		t.Fatal("set in a directory that does not exist: no error")
	}
	if on, _, err := s.on(); on || err != nil {
		t.Fatalf("after a failed set: on() = %v, %v, want false", on, err)
	}
}
