// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWriteReplacesTheWholeFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, write := range []func(string, []byte) error{Write, Put} {
		for _, text := range []string{"a longer text", "short"} {
			if err := write(path, []byte(text)); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != text {
				t.Errorf("%q, %v; want %q", got, err, text)
			}
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := WriteUnless(canceled, path, []byte("too late")); !errors.Is(err, context.Canceled) {
		t.Errorf("a write whose time is over: %v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "short" {
		t.Errorf("a write whose time was over left %q", got)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v; want the file alone", entries, err)
	}
}

func TestSweepRemovesOnlyTemporaryFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".history.123", ".other.1", "history"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Sweep(dir, "history"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{".history.123": false, ".other.1": true, "history": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
	if err := Remove(filepath.Join(dir, "history")); err != nil {
		t.Error(err)
	}
	if err := Remove(filepath.Join(dir, "history")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("remove what is not there: %v", err)
	}
}

// A FIFO would block the start of the daemon without a word, and a device would fill the memory.
func TestReadsOnlyRegularFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	err := errors.Join(
		unix.Mkfifo(in("fifo"), 0o600),
		os.Mkdir(in("directory"), 0o700),
		os.Symlink("/dev/zero", in("device")),
		os.WriteFile(in("file"), []byte("1234"), 0o600),
		os.Symlink("file", in("link")),
		os.WriteFile(in("note"), []byte("old"), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fifo", "directory", "device"} {
		if data, err := Read(in(name), 100); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("a %s is read as %q, %v", name, data, err)
		}
		if err := Overwrite(in(name), []byte("x")); err == nil {
			t.Errorf("a %s is written", name)
		}
	}
	for _, name := range []string{"file", "link"} {
		if data, err := Read(in(name), 4); err != nil || string(data) != "1234" {
			t.Errorf("a %s is read as %q, %v", name, data, err)
		}
	}
	if _, err := Read(in("file"), 3); err == nil || !strings.Contains(err.Error(), "exceeds the limit of 3 bytes") {
		t.Errorf("a file that is too long: %v", err)
	}
	if _, err := Read(in("none"), 3); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for _, name := range []string{"note", "new"} {
		if err := Overwrite(in(name), []byte("abc")); err != nil {
			t.Error(err)
		}
		if data, err := Read(in(name), 3); err != nil || string(data) != "abc" {
			t.Errorf("overwritten: %q, %v", data, err)
		}
	}
}
