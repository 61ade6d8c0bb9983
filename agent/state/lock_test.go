// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLockNamesItsHolder(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	first, err := LockDir(dir, log)
	if err != nil {
		t.Fatal(err)
	}
	_, err = LockDir(dir, log)
	if !errors.Is(err, ErrLocked) {
		t.Fatalf("second lock: %v, want ErrLocked", err)
	}
	if want := fmt.Sprintf("process %d", os.Getpid()); !strings.Contains(err.Error(), want) {
		t.Errorf("error %q does not name the holder (%s)", err, want)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := LockDir(dir, log)
	if err != nil {
		t.Fatalf("lock after it was given back: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLockFileIsPrivate: no file that others can have opened is ever the lock, whoever holds it.
func TestLockFileIsPrivate(t *testing.T) {
	for name, prepare := range map[string]func(path string) error{
		"none": func(string) error { return nil },
		"0644": func(path string) error { return os.WriteFile(path, []byte("17\n"), 0o644) },
		"0660": func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o660)) },
		"link": func(path string) error { return os.Symlink("/nowhere", path) },
		"fifo": func(path string) error { return unix.Mkfifo(path, 0o600) },
		"stranger": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Chown(path, 65534, 65534))
		},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "stranger" && os.Geteuid() != 0 {
				t.Skip("needs root to give the file away")
			}
			dir := t.TempDir()
			path := filepath.Join(dir, LockName)
			if err := prepare(path); err != nil {
				t.Fatal(err)
			}
			// A reader that has the file of before open, and locks it now and for ever.
			if old, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0); err == nil {
				defer old.Close()
				if err := unix.Flock(int(old.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // the next start as well
				l, err := LockDir(dir, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := LockDir(dir, slog.New(slog.DiscardHandler)); !errors.Is(err, ErrLocked) {
					t.Errorf("second lock: %v", err)
				}
				if fi, err := os.Lstat(path); err != nil || fi.Mode() != 0o600 {
					t.Errorf("the lock file: %v, %v", fi, err)
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestRuntimeDirIsNotWritableByOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	l, err := LockDir(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", fi, err)
	}
}
