// SPDX-License-Identifier: Apache-2.0

package keep

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

func logTo(b *bytes.Buffer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

func sample() Memory {
	return Memory{
		Checks:    []Check{{Name: "web", Subject: "s", Failing: true, Reason: "refused", Since: time.Unix(5, 0).UTC()}},
		Demotions: []Demotion{{Name: "work", Value: 100, Reason: "router", Since: time.Unix(6, 0).UTC(), Ends: 77}},
		Holds: []Hold{{
			Group: "eth0@1", YieldUntil: 99, Successors: []netip.Addr{netip.MustParseAddr("192.0.2.12")},
			AdvBase: 1, AdvSkew: 100, FailUntil: 3, FailWait: time.Second,
		}},
	}
}

func flush(t *testing.T, s *Store) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return s.Flush(ctx)
}

// The next process of the same boot reads what the last one put, even after kill -9.
func TestMemoryOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "memory.json")
	log := slog.New(slog.DiscardHandler)
	s, m := Open(path, "boot-1", log)
	if diff := cmp.Diff(Memory{}, m); diff != "" {
		t.Errorf("without a file: %s", diff)
	}
	s.Put(Memory{})
	s.Put(sample())
	if err := flush(t, s); err != nil {
		t.Fatal(err)
	}
	next, m := Open(path, "boot-1", log) // the first one was killed
	if diff := cmp.Diff(sample(), m, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("restored: %s", diff)
	}
	next.Put(Memory{})
	next.Close(5 * time.Second)
	if _, m = Open(path, "boot-1", log); len(m.Checks)+len(m.Demotions)+len(m.Holds) > 0 {
		t.Errorf("Close has not written: %+v", m)
	}
	s.Put(Memory{Demotions: sample().Demotions})
	if err := flush(t, s); err != nil {
		t.Fatal(err)
	}
	if _, m = Open(path, "boot-2", log); len(m.Demotions) > 0 {
		t.Errorf("believed after a reboot: %+v", m)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: want mode 0600", info, err)
	}
}

// A damaged file is logged and set aside.
func TestDamagedFileIsSetAside(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"empty":           "",
		"cut":             `{"version":1,"boot":"b","demo`,
		"not JSON":        "\x00\xff\xfe",
		"a list":          `[]`,
		"another type":    `{"version":1,"boot":"b","demotions":[{"name":"x","value":"240"}]}`,
		"another version": `{"version":2,"boot":"b"}`,
		"no name":         `{"version":1,"boot":"b","checks":[{"failing":true}]}`,
		"value":           `{"version":1,"boot":"b","demotions":[{"name":"x","value":99999}]}`,
		"long":            `{"version":1,"boot":"b","checks":[{"name":"` + strings.Repeat("x", 2000) + `"}]}`,
		"negative":        `{"version":1,"boot":"b","holds":[{"group":"eth0@1","fail_wait":-1}]}`,
		"huge":            `{"version":1,"boot":"b"}` + strings.Repeat(" ", maxSize),
	} {
		var log bytes.Buffer
		path := filepath.Join(t.TempDir(), "memory.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s, m := Open(path, "b", logTo(&log))
		if len(m.Checks)+len(m.Demotions)+len(m.Holds) > 0 || !strings.Contains(log.String(), path) {
			t.Errorf("%s: restored %+v, log %q", name, m, log.String())
		}
		if kept, err := os.ReadFile(path + ".damaged"); err != nil || string(kept) != content {
			t.Errorf("%s: not set aside: %v", name, err)
		}
		s.Put(sample())
		if err := flush(t, s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s.Close(time.Second)
	}
}

// A path that is not a file is set aside as well and does not block the start.
func TestNotAFileIsSetAside(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(path string) error{
		"FIFO":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"endless":   func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		var log bytes.Buffer
		path := filepath.Join(t.TempDir(), "memory.json")
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		s, m := Open(path, "b", logTo(&log))
		if len(m.Checks)+len(m.Demotions)+len(m.Holds) > 0 || !strings.Contains(log.String(), path) {
			t.Errorf("%s: restored %+v, log %q", name, m, log.String())
		}
		s.Put(sample())
		if err := flush(t, s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s.Close(time.Second)
	}
}

// A failed write is logged once, and no caller waits for it.
func TestFailedWriteIsLoggedOnceAndRetried(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	dir := filepath.Join(t.TempDir(), "gone")
	s, _ := Open(filepath.Join(dir, "memory.json"), "b", logTo(&log))
	s.Put(sample())
	if err := flush(t, s); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v, want one that names %s", err, dir)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.Put(Memory{})
	if err := flush(t, s); err != nil {
		t.Error(err)
	}
	s.Close(time.Second)
	if got := log.String(); strings.Count(got, "not stored") != 1 || !strings.Contains(got, "stored again") {
		t.Errorf("log: %s", got)
	}
	var none *Store
	none.Put(sample())
	none.Close(time.Second)
	if err := flush(t, none); err != nil {
		t.Error(err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"version":1,"boot":"b","checks":[{"name":"a","failing":true}],` +
		`"holds":[{"group":"g","successors":["::1"]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "m")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := load(path)
		if err != nil {
			return
		}
		for _, d := range m.Demotions {
			if d.Value < -maxValue || d.Value > maxValue {
				t.Errorf("demotion %+v", d)
			}
		}
	})
}
