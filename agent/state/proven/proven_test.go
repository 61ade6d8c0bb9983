// SPDX-License-Identifier: Apache-2.0

package proven

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"vipd/agent/state/durable"
)

var (
	fw2 = netip.MustParseAddr("192.0.2.12")
	fw3 = netip.MustParseAddr("fe80::13")
)

// node is a host with a file and a data plane.
type node struct {
	path, boot string
	memory     time.Duration
	booted     time.Time
	log        bytes.Buffer
	writes     atomic.Int64

	mu      sync.Mutex
	kernel  []Peer
	expired []Peer
	write   func() error
}

func newNode(t *testing.T) *node {
	return &node{path: filepath.Join(t.TempDir(), "peers"), boot: "a", booted: time.Now().Add(-time.Hour)}
}

// now reads CLOCK_BOOTTIME.
func (n *node) now() int64 { return int64(time.Since(n.booted)) }

// reboot begins another boot, which lasts for some time already.
func (n *node) reboot(boot string, uptime time.Duration) {
	n.boot, n.booted = boot, time.Now().Add(-uptime)
}

func (n *node) open() *Store {
	return Open(Options{
		Path: n.path, Boot: n.boot, Log: slog.New(slog.NewTextHandler(&n.log, nil)), Now: n.now,
		Memory: func() time.Duration { return n.memory },
		Read: func() ([]Peer, error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			return n.kernel, nil
		},
		Expire: func(_ context.Context, silent []Peer) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.expired = append(n.expired, silent...)
			n.kernel = slices.DeleteFunc(slices.Clone(n.kernel), func(p Peer) bool { return slices.Contains(silent, p) })
			return nil
		},
		Write: func(path string, data []byte) error {
			n.writes.Add(1)
			n.mu.Lock()
			write := n.write
			n.mu.Unlock()
			if write != nil {
				if err := write(); err != nil {
					return err
				}
			}
			return durable.Write(path, data)
		},
	})
}

// has sets what the kernel knows.
func (n *node) has(peers ...Peer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kernel = peers
}

// writing sets what a write waits for, and fails with.
func (n *node) writing(fn func() error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.write = fn
}

func peer(addr netip.Addr, number uint64, at int64) Peer {
	return Peer{Interface: "eth0", VHID: 1, Address: addr, Number: number, At: at}
}

func one(t *testing.T, s *Store, want Peer) {
	t.Helper()
	got := s.Of("eth0", 1)
	if len(got) != 1 || got[0] != want {
		t.Errorf("peers are %+v, want %+v", got, want)
	}
}

// TestPeersSurviveRestartsAndReboots with the time for which they have been silent while this host was on.
func TestPeersSurviveRestartsAndReboots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		want := peer(fw2, 7, int64(50*time.Minute)) // ten minutes ago
		n.has(want)
		s := n.open()
		s.Refresh()
		s.Close(time.Second)
		n.has()
		s = n.open()
		one(t, s, want)
		if others := s.Of("eth0", 2); len(others) > 0 {
			t.Errorf("another group has %v", others)
		}
		for _, boot := range []struct {
			id     string // empty: it cannot be read
			silent time.Duration
		}{
			{"b", 10 * time.Minute}, {"b", 10 * time.Minute}, {"", 11 * time.Minute}, {"c", 12 * time.Minute},
		} {
			n.reboot(boot.id, time.Minute)
			s = n.open()
			want.At = int64(-boot.silent)
			one(t, s, want)
			s.Close(time.Second)
		}
		n.has(peer(fw2, 6, 5)) // known better
		s.Refresh()
		one(t, s, want)
	})
}

func TestNoPeersNoFile(t *testing.T) {
	n := newNode(t)
	s := n.open()
	s.Close(time.Second)
	if _, err := os.Stat(n.path); !errors.Is(err, os.ErrNotExist) || n.log.Len() > 0 {
		t.Errorf("%v; log %q", err, n.log.String())
	}
	var none *Store
	none.Met()
	if none.Of("eth0", 1) != nil {
		t.Error("no store has peers")
	}
}

// TestDamagedFileIsSetAside: nothing of it is lost, and the log names it.
func TestDamagedFileIsSetAside(t *testing.T) {
	for _, text := range []string{
		"", "{", `{"version":2}`,
		`{"version":1,"peers":[{"interface":"eth0","vhid":1,"address":"x"}]}`,
		`{"version":1,"peers":[{"interface":"eth0","vhid":0,"address":"192.0.2.12"}]}`,
		`{"version":1,"peers":[{"interface":"eth0","vhid":1,"address":"192.0.2.12","number":9223372036854775808}]}`,
	} {
		n := newNode(t)
		if err := os.WriteFile(n.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		n.has(peer(fw2, 1, 1))
		s := n.open()
		if got := s.Of("eth0", 1); len(got) > 0 {
			t.Errorf("%q: peers %v", text, got)
		}
		s.Refresh()
		s.Close(time.Second)
		if kept, err := os.ReadFile(n.path + ".damaged"); err != nil || string(kept) != text {
			t.Errorf("%q was kept as %q (%v)", text, kept, err)
		}
		if !strings.Contains(n.log.String(), n.path+".damaged") {
			t.Errorf("%q: the log does not name it: %s", text, n.log.String())
		}
		one(t, n.open(), n.kernel[0])
	}
}

// TestSilentPeersAreForgotten, by the data plane too, unless the memory has no end.
func TestSilentPeersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.memory = time.Hour
		old, heard := peer(fw2, 7, n.now()), peer(fw3, 8, n.now()+int64(time.Minute))
		n.has(old, heard)
		s := n.open()
		s.Refresh()
		time.Sleep(time.Hour - 1)
		s.expire()
		if len(s.Of("eth0", 1)) != 2 || len(n.expired) > 0 {
			t.Error("forgotten too early")
		}
		time.Sleep(time.Nanosecond)
		if got := s.Of("eth0", 1); len(got) != 1 || got[0] != heard {
			t.Errorf("not forgotten: %v", got)
		}
		n.memory = 0
		s.expire()
		if len(s.Of("eth0", 1)) != 2 || len(n.expired) > 0 {
			t.Error("forgotten although the memory has no end")
		}
		n.memory = time.Hour
		s.expire()
		n.memory = 0
		if got := s.Of("eth0", 1); len(got) != 1 || !slices.Equal(n.expired, []Peer{old}) {
			t.Errorf("in the file %v; the data plane forgot %v", got, n.expired)
		}
		s.Refresh()
		if got := s.Of("eth0", 1); len(got) != 1 {
			t.Errorf("the data plane brought it back: %v", got)
		}
	})
}

// TestClockOfTheDayCountsForNothing: after a boot with a clock that is a year ahead, and whatever the time for which
// the host was off, peers are remembered for as long as the host runs.
func TestClockOfTheDayCountsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.memory = 24 * time.Hour
		n.has(peer(fw2, 7, n.now()))
		s := n.open()
		s.Refresh()
		time.Sleep(10 * time.Hour)
		s.Close(time.Second)
		n.has()
		time.Sleep(365 * 24 * time.Hour)
		n.reboot("b", time.Minute)
		s = n.open()
		one(t, s, peer(fw2, 7, int64(-10*time.Hour)))
		time.Sleep(14*time.Hour - time.Minute - 1)
		if len(s.Of("eth0", 1)) != 1 {
			t.Error("forgotten too early")
		}
		time.Sleep(time.Nanosecond)
		if len(s.Of("eth0", 1)) != 0 {
			t.Error("not forgotten after 24 h of this host's time")
		}
	})
}

// TestWrites: soon after a new peer, rarely otherwise, and again after a failure.
func TestWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		s := n.open()
		s.Start()
		expect := func(what string, after time.Duration, want int64) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := n.writes.Load(); got != want {
				t.Errorf("%s: %d writes, want %d", what, got, want)
			}
		}
		expect("nothing known", time.Hour+calm, 0)
		n.has(peer(fw2, 1, 1))
		s.Met()
		expect("a new peer", 0, 1)
		for range 100 {
			s.Met()
		}
		expect("a burst", calm-1, 1)
		n.has(peer(fw2, 1, 1), peer(fw3, 1, 1))
		expect("after the burst", 1, 2)
		expect("nothing new", renewal-period, 2)
		expect("for how long they are silent", period, 3)
		n.has(peer(fw2, 2, 2), peer(fw3, 1, 1))
		expect("a later number", period, 4)
		n.writing(func() error { return errors.New("no space left on device") })
		n.has(peer(fw2, 3, 3), peer(fw3, 1, 1))
		expect("full", period, 5)
		expect("still full", retry, 6)
		n.writing(nil)
		expect("no longer full", retry, 7)
		if got := strings.Count(n.log.String(), "level=ERROR"); got != 1 {
			t.Errorf("%d errors in the log:\n%s", got, n.log.String())
		}
		s.Close(time.Second)
		expect("at the end", time.Hour, 7)
	})
}

// TestForget: neither the kernel, nor a write that began before, brings a peer back.
func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.has(peer(fw2, 1, 1), peer(fw3, 1, 1))
		s := n.open()
		s.Refresh()
		hung := make(chan struct{})
		n.writing(func() error { <-hung; return nil })
		go func() { _ = s.save(t.Context()) }() // with both
		synctest.Wait()
		drop := func() error { n.has(n.kernel[1:]...); return nil }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		unsaved, err := s.Forget(ctx, s.All()[:1], drop)
		if err != nil || unsaved == nil {
			t.Errorf("%v; on a disk that hangs: %v", err, unsaved)
		}
		one(t, s, n.kernel[0])
		close(hung)
		synctest.Wait()
		s.Refresh()
		s.Close(time.Second)
		one(t, n.open(), n.kernel[0])

		refused := errors.New("refused")
		if _, err := s.Forget(t.Context(), s.All(), func() error { return refused }); !errors.Is(err, refused) {
			t.Errorf("err %v", err)
		}
		one(t, s, n.kernel[0])
	})
}

// TestCloseDoesNotWaitForAHungDisk.
func TestCloseDoesNotWaitForAHungDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.has(peer(fw2, 1, 1))
		hung := make(chan struct{})
		n.writing(func() error { <-hung; return nil })
		s := n.open()
		s.Start()
		synctest.Wait()
		began := time.Now()
		s.Close(time.Second)
		if took := time.Since(began); took != time.Second || !strings.Contains(n.log.String(), "not stored") {
			t.Errorf("closed after %v; log %s", took, n.log.String())
		}
		close(hung)
		synctest.Wait()
	})
}
