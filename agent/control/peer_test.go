// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"vipd/tests/needs"
)

// connectAs opens the socket as another user: credentials belong to threads on Linux.
func connectAs(uid, gid int, path string) (net.Conn, error) {
	type result struct {
		fd  int
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			_, _, e1 := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0)
			_, _, e2 := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid))
			_, _, e3 := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid))
			if e1|e2|e3 != 0 {
				err = errors.Join(e1, e2, e3)
			} else {
				err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
			}
		}
		done <- result{fd, err}
	}()
	r := <-done
	f := os.NewFile(uintptr(r.fd), path)
	if r.err != nil {
		return nil, errors.Join(r.err, f.Close())
	}
	conn, err := net.FileConn(f)
	return conn, errors.Join(err, f.Close())
}

// TestWhoMayDoWhat: the file's mode lets the group in and nobody else, the peer's
// credentials let root change and the group read.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	needs.Root(t) // to be somebody else
	group, err := user.LookupGroup("daemon")
	if err != nil {
		t.Skip("no group daemon: ", err)
	}
	gid, err := strconv.Atoi(group.Gid)
	if err != nil {
		t.Fatal(err)
	}
	top := t.TempDir()
	// So that others come as far as our own directory, which then has to stop them.
	if err := errors.Join(os.Chmod(filepath.Dir(top), 0o755), os.Chmod(top, 0o755)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(top, "run", "s")
	f := &fake{}
	s := New(f, Options{Socket: path, Group: group.Name})
	run(t, s)

	const member, stranger = 54321, 54322
	if _, err := connectAs(stranger, stranger, path); !errors.Is(err, unix.EACCES) {
		t.Errorf("a stranger: %v, want EACCES", err)
	}
	ask := func(uid int, request string) int {
		t.Helper()
		conn, err := connectAs(uid, gid, path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(request + " HTTP/1.1\r\nHost: vipd\r\nConnection: close\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	if got := ask(member, "GET /v1/status"); got != http.StatusOK {
		t.Errorf("a member reads: %d", got)
	}
	if got := ask(member, "POST /v1/disable"); got != http.StatusForbidden || f.done() != nil {
		t.Errorf("a member changes: %d, changed %v", got, f.done())
	}
	if got := ask(0, "POST /v1/disable"); got != http.StatusOK || len(f.done()) != 1 {
		t.Errorf("root changes: %d, changed %v", got, f.done())
	}
}
