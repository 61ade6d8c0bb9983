// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"vipd/agent/sdnotify"
)

// Failing starts are delayed more and more; after one that lasted there is no delay.
func TestFailingStartsAreDelayed(t *testing.T) {
	t.Parallel()
	sock := filepath.Join(t.TempDir(), "notify")
	notify, err := sdnotify.FromEnvironment(func(name string) string {
		return map[string]string{"NOTIFY_SOCKET": sock}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close() //nolint:errcheck // in a test
	p := newPatience(filepath.Join(t.TempDir(), "run"), notify)
	var waits []time.Duration
	passed := make(chan time.Time)
	close(passed)
	p.after = func(d time.Duration) <-chan time.Time { waits = append(waits, d); return passed }
	for range freeStarts + 6 {
		p.begin(t.Context())
	}
	want := []time.Duration{1, 2, 4, 8, 15, 15}
	for i := range want {
		want[i] *= time.Second
	}
	if !slices.Equal(waits, want) {
		t.Errorf("waited %v, want %v", waits, want)
	}
	p.forget()
	waits = nil
	p.begin(t.Context())
	if waits != nil {
		t.Errorf("waited %v after a start that lasted", waits)
	}
	if err := os.WriteFile(p.file, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.begin(t.Context())
	if waits != nil {
		t.Errorf("waited %v with a damaged file", waits)
	}
}

// A start by hand never waits and leaves no file.
func TestNoDelayWithoutASupervisor(t *testing.T) {
	t.Parallel()
	p := newPatience(t.TempDir(), nil)
	for range freeStarts + 2 {
		p.begin(t.Context())
	}
	if _, err := os.Stat(p.file); !os.IsNotExist(err) {
		t.Errorf("a file was left: %v", err)
	}
}
