// SPDX-License-Identifier: Apache-2.0

package sdnotify_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vipd/agent/sdnotify"
)

func getenv(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

func listen(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() }) //nolint:errcheck // only its descriptor matters
	return conn
}

func read(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestSend(t *testing.T) {
	t.Parallel()
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@vipd-notify-" + strconv.Itoa(os.Getpid())} {
		conn := listen(t, name)
		n, err := sdnotify.FromEnvironment(getenv(map[string]string{
			"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": strconv.Itoa(os.Getpid()),
		}))
		if err != nil || n.Watchdog() != 2*time.Second {
			t.Fatalf("%v, %v", n, err)
		}
		if err := n.Send(sdnotify.Ready, sdnotify.Status("two\nlines")); err != nil {
			t.Fatal(err)
		}
		if got := read(t, conn); got != "READY=1\nSTATUS=two lines" {
			t.Errorf("%s got %q", name, got)
		}
		if err := n.Send(sdnotify.Reloading()); err != nil {
			t.Fatal(err)
		}
		if got := read(t, conn); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
			t.Errorf("%s got %q", name, got)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A supervisor that does not read must not block the caller.
func TestSendNeverWaits(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "notify")
	listen(t, name)
	n, err := sdnotify.FromEnvironment(getenv(map[string]string{"NOTIFY_SOCKET": name}))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close() //nolint:errcheck // only its descriptor matters
	done := make(chan error, 1)
	go func() {
		for range 100000 {
			if err := n.Send(sdnotify.Alive); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	select {
	case err := <-done:
		if !errors.Is(err, unix.EAGAIN) {
			t.Errorf("%v, want EAGAIN: nobody reads", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Send waits")
	}
}

func TestEnvironmentIsValidated(t *testing.T) {
	t.Parallel()
	n, err := sdnotify.FromEnvironment(getenv(nil))
	if n != nil || err != nil || n.Watchdog() != 0 || n.Send(sdnotify.Ready) != nil || n.Close() != nil {
		t.Errorf("without a supervisor: %v, %v", n, err)
	}
	n, err = sdnotify.FromEnvironment(
		getenv(map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}),
	)
	if err != nil || n.Watchdog() != 0 {
		t.Errorf("another process's watchdog: %v, %v", n.Watchdog(), err)
	}
	for _, env := range []map[string]string{
		{"NOTIFY_SOCKET": "relative"},
		{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "soon"},
		{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "0"},
	} {
		if n, err := sdnotify.FromEnvironment(getenv(env)); n != nil || err == nil {
			t.Errorf("%v accepted", env)
		}
	}
}
