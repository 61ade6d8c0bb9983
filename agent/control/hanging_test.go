// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bufio"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vipd/agent/control/api"
)

// hang opens n connections as uid that send half a request each. They are closed at the end.
func hang(t *testing.T, path string, uid, n int) {
	t.Helper()
	failed := make(chan error)
	go func() {
		defer close(failed)
		// Credentials are a thread's own in the kernel. This one is never unlocked, so that
		// it ends with its user. The effective user alone changes; SO_PEERCRED shows that.
		runtime.LockOSThread()
		keep := ^uintptr(0)
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 {
			failed <- errno
			return
		}
		for i := range n {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				failed <- err
				return
			}
			t.Cleanup(func() {
				if err := unix.Close(fd); err != nil {
					t.Error(err)
				}
			})
			if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
				failed <- err
				return
			}
			// Who is refused at once may have been hung up on.
			half := []string{
				"GET /v1/status HTTP/1.1\r\nHost: vi",
				"GET /v1/status HTTP/1.1\r\nHost: vipd\r\nContent-Length: 100\r\n\r\n{",
			}[i%2]
			_ = unix.Send(fd, []byte(half), unix.MSG_NOSIGNAL)
		}
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

// TestHangingClients: 200 clients of a reader that hang, and 200 of the daemon's own user,
// hold up no command, and a request that has begun goes on.
func TestHangingClients(t *testing.T) {
	t.Parallel()
	const clients, reader = 200, 65534
	//nolint:usetesting // t.TempDir is inside a directory that other users cannot enter
	dir, err := os.MkdirTemp("", "vipd-control-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "s")
	f := &fake{events: make(chan api.Event, 1), forgot: make(chan struct{})}
	s := New(f, Options{Socket: path})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	// The test's own limits are longer than it takes: only an eviction makes a place.
	s.http.ReadHeaderTimeout, s.http.ReadTimeout = time.Hour, time.Hour
	run(t, s)
	begun, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer begun.Close()
	if _, err := io.WriteString(begun, "GET /v1/events HTTP/1.1\r\nHost: vipd\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	stream := bufio.NewReader(begun)
	awaitLine(t, stream, api.EventBegin)
	full := func(want int) func() bool {
		return func() bool {
			s.listener.mu.Lock()
			defer s.listener.mu.Unlock()
			return s.listener.readers+s.listener.writers == want
		}
	}
	if os.Geteuid() == 0 { // only root can be another
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o666); err != nil {
			t.Fatal(err)
		}
		hang(t, path, reader, clients)
		waitFor(t, "the readers' places are taken", full(maxClients))
		command(t, path)
	}
	hang(t, path, os.Geteuid(), clients)
	waitFor(t, "every place is taken", full(maxClients+reservedClients))
	for range 2 * reservedClients {
		command(t, path)
	}
	f.events <- api.Event{Event: "still-here"}
	awaitLine(t, stream, "still-here")
}

func awaitLine(t *testing.T, r *bufio.Reader, with string) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("no line with %q: %v", with, err)
		}
		if strings.Contains(line, with) {
			return
		}
	}
}

// command asks for a change on a connection of its own.
func command(t *testing.T, path string) {
	t.Helper()
	c := api.Client{Socket: path, Timeout: 10 * time.Second} // an hour is what it would be without
	if _, err := c.Enable(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not so after 10 s: " + what)
		}
	}
}
