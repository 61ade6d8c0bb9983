// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vipd/agent/control/api"
)

func TestSwitch(t *testing.T) {
	dir := t.TempDir()
	s := NewSwitch(filepath.Join(dir, "maintenance"))
	when := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

	expect := func(want bool, since time.Time) {
		t.Helper()
		on, at, err := s.On()
		if err != nil || on != want || !at.Equal(since) {
			t.Fatalf("On() = %v, %v, %v, want %v, %v", on, at, err, want, since)
		}
	}
	set := func(on bool, at time.Time) {
		t.Helper()
		if err := s.Set(on, at); err != nil {
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
		s := NewSwitch(filepath.Join(t.TempDir(), "maintenance"))
		if err := os.WriteFile(s.path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if on, _, err := s.On(); !on || err != nil {
			t.Errorf("content %q: on() = %v, %v, want true", content, on, err)
		}
	}
}

// Neither is read to the end, and a directory cannot be: whether the bit is set is unknown.
func TestSwitchThatIsNotAFile(t *testing.T) {
	for name, create := range map[string]func(string) error{
		"fifo":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"device":    func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		s := NewSwitch(filepath.Join(t.TempDir(), "maintenance"))
		if err := create(s.path); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{ignoreState(s.On()), s.Set(true, time.Now()), s.Set(false, time.Now())} {
			if err == nil || !strings.Contains(err.Error(), "not a regular file") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func ignoreState(_ bool, _ time.Time, err error) error { return err }

func TestSwitchFileFailureChangesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	s := NewSwitch(filepath.Join(dir, "maintenance"))
	if err := s.Set(true, time.Now()); err == nil {
		t.Fatal("set in a directory that does not exist: no error")
	}
	if on, _, err := s.On(); on || err != nil {
		t.Fatalf("after a failed set: on() = %v, %v, want false", on, err)
	}
}

// A disk that does not answer costs a command its limit, and changes nothing, not even when it answers later.
func TestSwitchFileOnADiskThatHangs(t *testing.T) {
	s := NewSwitch(filepath.Join(t.TempDir(), "maintenance"))
	if err := s.Set(true, time.Now()); err != nil {
		t.Fatal(err)
	}
	s.limit = 50 * time.Millisecond
	answers := make(chan struct{})
	s.hangs = func() { <-answers }
	for i, want := range []string{"no write within 50ms", "an earlier write still hangs"} {
		err := s.Set(false, time.Now())
		if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.CodeTimeout ||
			!strings.Contains(err.Error(), "nothing changed") || !strings.Contains(err.Error(), want) {
			t.Fatalf("command %d: %v, want a time-out that says %q", i, err, want)
		}
	}
	close(answers)
	s.busy <- struct{}{} // the write has ended
	<-s.busy
	if st, err := os.Lstat(s.path); err != nil {
		t.Errorf("the file was removed although the command had failed: %v, %v", st, err)
	}
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	// A busy disk may take its time for one of so many writes.
	s.limit = time.Minute
	for i := range 200 { // one command right after the other
		on := i%2 == 0
		if err := s.Set(on, time.Now()); err != nil {
			t.Errorf("set(%v) on a disk that answers again: %v", on, err)
		}
	}
}
