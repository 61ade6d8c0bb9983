// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/tests/needs"
)

func closer(t *testing.T, c io.Closer) func() {
	return func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func mode(t *testing.T, path string) (os.FileMode, int) {
	t.Helper()
	fi, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Mode(), int(fi.Sys().(*syscall.Stat_t).Gid)
}

func TestListenModes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "run", "s")
	group, gid := "", os.Getegid()
	if os.Geteuid() == 0 { // only root may give files away
		if g, err := user.LookupGroup("daemon"); err == nil {
			group = g.Name
			if gid, err = strconv.Atoi(g.Gid); err != nil {
				t.Fatal(err)
			}
		}
	}
	l, warnings, err := controlSocket().listen(path, group)
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	t.Cleanup(closer(t, l))
	if m, g := mode(t, path); m != os.ModeSocket|socketMode || g != gid {
		t.Errorf("socket %v group %d, want %v group %d", m, g, socketMode, gid)
	}
	if m, g := mode(t, filepath.Dir(path)); m != os.ModeDir|dirMode || g != gid {
		t.Errorf("directory %v group %d, want 0750 group %d", m, g, gid)
	}
	if err := l.remove(); err != nil {
		t.Error(err)
	}
}

// TestSocketIsNeverOpen watches the socket come into being: before its final mode it
// is only ever the owner's, whatever the umask.
func TestSocketIsNeverOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	stop, seen := make(chan struct{}), make(chan map[os.FileMode]bool)
	var looked atomic.Bool // the witness has met a socket that is open to its group
	go func() {
		modes := map[os.FileMode]bool{}
		for {
			if fi, err := os.Lstat(path); err == nil {
				modes[fi.Mode().Perm()] = true
				if fi.Mode().Perm() == socketMode {
					looked.Store(true)
				}
			}
			select {
			case <-stop:
				seen <- modes
				return
			default:
			}
		}
	}()
	// On a busy machine the witness may not run at all during the first few hundred.
	for i, deadline := 0, time.Now().Add(20*time.Second); i < 200 || !looked.Load() && time.Now().Before(deadline); i++ {
		l, _, err := controlSocket().listen(path, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(l.remove(), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	modes := <-seen
	delete(modes, privateMode)
	if !modes[socketMode] {
		t.Error("the witness never saw the socket")
	}
	delete(modes, socketMode)
	if len(modes) > 0 {
		t.Errorf("the socket was seen with %v", modes)
	}
}

func TestListenFaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, path, want string }{
		{"file in the way", file, "the file exists and is not a socket"},
		{"symlink in the way", link, "the file exists and is not a socket"},
		{"directory is a file", file + "/s", "not a directory"},
		{"path too long", filepath.Join(dir, strings.Repeat("x", 120)), "check [control] socket"},
	} {
		_, _, err := controlSocket().listen(tt.path, "")
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, _, err := pageSocket().listen(file, ""); err == nil || !strings.Contains(err.Error(), "another [http] listen") ||
		strings.Contains(err.Error(), "control") {
		t.Errorf("the page's socket: %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Errorf("the file in the way: %q, %v", b, err)
	}
}

func TestListenMissingGroup(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	s := New(&fake{}, Options{Socket: path, Group: "no-such-group-here"})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closer(t, s.listener))
	if w := s.Warnings(); len(w) != 1 || !strings.Contains(w[0], "groupadd --system no-such-group-here") {
		t.Errorf("warnings %q", w)
	}
	if _, gid := mode(t, path); gid != os.Getegid() {
		t.Errorf("group %d", gid)
	}
}

func TestStaleAndLiveSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	dead, _, err := controlSocket().listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.Close(); err != nil { // as by kill -9: the file stays
		t.Fatal(err)
	}
	live, _, err := controlSocket().listen(path, "")
	if err != nil {
		t.Fatalf("a stale socket is in the way: %v", err)
	}
	t.Cleanup(closer(t, live))
	if err := dead.remove(); err != nil { // the dead one's late clean-up
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("the socket of another was removed: %v", err)
	}
	_, _, err = controlSocket().listen(path, "")
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("over a live socket: %v", err)
	}
	if conn, err := net.Dial("unix", path); err != nil {
		t.Errorf("the live socket was harmed: %v", err)
	} else if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

// TestExistingDirectory: a private directory is opened to the group, others are left
// alone, with a warning where members cannot get through.
func TestExistingDirectory(t *testing.T) {
	t.Parallel()
	needs.Root(t) // to give a directory away
	for _, tt := range []struct {
		perm    os.FileMode
		gid     int // the directory's group at the start
		wantGid int
		warns   bool
	}{
		{0o750, os.Getegid(), 4242, false},
		{0o755, os.Getegid(), os.Getegid(), false},
		{0o700, os.Getegid(), os.Getegid(), true},
		{0o750, 4711, 4711, true},
		{0o750, 4242, 4242, false},
	} {
		dir := filepath.Join(t.TempDir(), "run")
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, tt.perm), os.Chown(dir, -1, tt.gid)); err != nil {
			t.Fatal(err)
		}
		warning, err := controlSocket().prepareDir(dir, 4242)
		if err != nil {
			t.Fatal(err)
		}
		m, gid := mode(t, dir)
		if gid != tt.wantGid || (warning != "") != tt.warns || m.Perm() != tt.perm {
			t.Errorf("%v group %d: now %v group %d, warning %q", tt.perm, tt.gid, m, gid, warning)
		}
	}
}

func TestClientErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var un *api.UnreachableError
	_, err := (&api.Client{Socket: dir + "/none"}).Status(t.Context())
	if !errors.As(err, &un) || !strings.Contains(err.Error(), dir+"/none") ||
		!strings.Contains(err.Error(), "systemctl start vipd") {
		t.Errorf("no socket: %v", err)
	}

	// A server that accepts and says nothing, or closes.
	l, err := net.Listen("unix", dir+"/mute")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closer(t, l))
	_, err = (&api.Client{Socket: dir + "/mute", Timeout: 20 * time.Millisecond}).Status(t.Context())
	if !errors.As(err, &un) || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("mute server: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = (&api.Client{Socket: dir + "/mute"}).Status(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_, _ = c.Write([]byte("HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nno\n")) // the client checks
			_ = c.Close()
		}
	}()
	_, err = (&api.Client{Socket: dir + "/mute"}).Status(t.Context())
	if err == nil || !strings.Contains(err.Error(), "is that vipd's socket?") {
		t.Errorf("foreign server: %v", err)
	}
}
