// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/netio"
	"vipd/agent/sdnotify"
)

// systemd is what the daemon told, until nothing came for as long as given.
type systemd struct {
	t    *testing.T
	conn *net.UnixConn
}

func (s *systemd) quiet(d time.Duration) (states []string) {
	s.t.Helper()
	for {
		if err := s.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
			s.t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, err := s.conn.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return states
		}
		if err != nil {
			s.t.Fatal(err)
		}
		states = append(states, strings.Split(string(buf[:n]), "\n")...)
	}
}

// until reads until the state came.
func (s *systemd) until(want string) (states []string) {
	s.t.Helper()
	for range 1000 {
		if err := s.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			s.t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, err := s.conn.Read(buf)
		if err != nil {
			s.t.Fatalf("%v, while waiting for %s; told %q", err, want, states)
		}
		states = append(states, strings.Split(string(buf[:n]), "\n")...)
		if slices.Contains(states, want) {
			return states
		}
	}
	s.t.Fatalf("no %s in %q", want, states)
	return nil
}

// The watchdog is fed by the rounds of the loop: a loop that is stuck feeds it no more,
// whatever else of the daemon still runs.
func TestWatchdogStopsWithTheLoop(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // only its descriptor matters
	sd := &systemd{t, conn}
	const watchdog = 1000 * time.Millisecond
	notify, err := sdnotify.FromEnvironment(func(name string) string {
		return map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000"}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close() //nolint:errcheck // only its descriptor matters
	// It has seen no other time than that of the real clock.
	b := newBenchAfter(t, earlier{ended: netio.BootNow()}, testGroup("eth0", 1, "192.0.2.100/24"))
	b.drain()
	b.supervision.notify = notify
	b.boot = netio.BootNow

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.Run(ctx, netio.NewWatcher(slog.New(slog.DiscardHandler)))
	}()
	first := sd.until(sdnotify.Ready)
	if first[0] != sdnotify.Ready {
		t.Errorf("the first word is %q", first)
	}
	sd.until(sdnotify.Status("eth0@1 MASTER"))
	last := time.Now()
	for range 5 {
		sd.until(sdnotify.Alive)
		if gap := time.Since(last); gap > watchdog {
			t.Errorf("not fed for %v", gap)
		}
		last = time.Now()
	}
	// Stuck: a command that does not end. Readers and the runner of hooks still live.
	stuck, release := make(chan struct{}), make(chan struct{})
	go func() {
		_ = b.do(context.Background(), func() { close(stuck); <-release })
	}()
	<-stuck
	sd.quiet(watchdog / 2) // what was on its way
	if states := sd.quiet(2 * watchdog); slices.Contains(states, sdnotify.Alive) {
		t.Errorf("fed although the loop is stuck: %q", states)
	}
	// And the metrics say how old what they say is.
	if age := b.operator.Snapshot().LoopAge; age < watchdog {
		t.Errorf("the loop's age is %v after %v without a round", age, 2*watchdog)
	}
	close(release)
	sd.until(sdnotify.Alive)
	if age := b.operator.Snapshot().LoopAge; age > watchdog {
		t.Errorf("the loop's age is %v although it goes round", age)
	}
	stop()
	if states := sd.until(sdnotify.Stopping); states == nil {
		t.Error("not told of the stop")
	}
	<-ended
}

func TestStatusLine(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"), testGroup("eth1", 2, "198.51.100.100/24"))
	if got := b.statusLine(); got != "eth0@1 BACKUP, eth1@2 BACKUP" {
		t.Error(got)
	}
	b.ledger.set(demotionMaintenance, maintenanceValue, "", time.Now())
	b.setDisabled(true)
	want := "disabled by the operator, in maintenance, eth0@1 INIT (disabled), eth1@2 INIT (disabled)"
	if got := b.statusLine(); got != want {
		t.Error(got)
	}
	b = newBench(t)
	if got := b.statusLine(); got != "no group is configured" {
		t.Error(got)
	}
	b.ledger.set("ops", 7, "", time.Now())
	for vhid := range uint8(5) {
		cfg := testGroup("eth0", vhid+1, "192.0.2.100/24")
		if err := b.addGroup(&cfg); err != nil {
			t.Fatal(err)
		}
		b.cfg.Groups = append(b.cfg.Groups, cfg)
	}
	b.groups.arrange(b.cfg.Groups)
	if got := b.statusLine(); got != "demoted by 7, 0 MASTER, 0 BACKUP, 5 INIT" {
		t.Error(got)
	}
}
