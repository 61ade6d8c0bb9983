// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	dirMode     = 0o750
	socketMode  = 0o660
	privateMode = 0o600
	// staleDial is how long a daemon may take to accept before its socket counts as
	// stale; accepting is the kernel's work, so a hung daemon accepts as well.
	staleDial = time.Second
)

// listen creates the socket. At no moment can anybody open it whom its final owner
// and mode would refuse.
func listen(path, group string) (*listener, []string, error) {
	gid, warnings := lookupGroup(group)
	dirWarning, err := prepareDir(filepath.Dir(path), gid)
	if err != nil {
		return nil, nil, err
	}
	if dirWarning != "" {
		warnings = append(warnings, dirWarning)
	}
	if err := removeStale(path); err != nil {
		return nil, nil, err
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		// bind(2) gives a socket's file the mode of the socket's inode less the umask
		// (net/unix/af_unix.c, unix_bind_bsd). Setting that first needs no change of
		// the umask, which the whole process shares.
		var chmodErr error
		err := c.Control(func(fd uintptr) { chmodErr = unix.Fchmod(int(fd), privateMode) })
		return errors.Join(err, chmodErr)
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, nil, fmt.Errorf("listen on control socket %s: %w; check [control] socket", path, err)
	}
	ul := l.(*net.UnixListener) // always, for network "unix"
	ul.SetUnlinkOnClose(false)  // remove looks first whether the file is still ours
	out := newListener(ul, path)
	if err := out.publish(gid); err != nil {
		return nil, nil, errors.Join(err, ul.Close(), os.Remove(path))
	}
	return out, warnings, nil
}

// publish opens the socket file to its group. The owner of the file changes before
// the mode: until then only root and the daemon's user can connect.
func (l *listener) publish(gid int) error {
	if gid >= 0 {
		if err := os.Lchown(l.path, -1, gid); err != nil {
			return fmt.Errorf("give control socket %s to group %d: %w", l.path, gid, err)
		}
	}
	if err := os.Chmod(l.path, socketMode); err != nil {
		return fmt.Errorf("set the mode of control socket %s: %w", l.path, err)
	}
	// Held open (O_PATH opens nothing), the inode's number is not given to another
	// file, so that remove knows ours for certain.
	f, err := os.OpenFile(l.path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("look at control socket %s: %w", l.path, err)
	}
	l.file = f
	return nil
}

// remove takes the socket file away if it is still the one we made.
func (l *listener) remove() error {
	ours, err := l.file.Stat()
	if err != nil {
		return err
	}
	defer l.file.Close()
	there, err := os.Lstat(l.path)
	if err != nil {
		return err
	}
	if !os.SameFile(there, ours) {
		return nil
	}
	return os.Remove(l.path)
}

// lookupGroup returns -1 when only root shall read.
func lookupGroup(group string) (gid int, warnings []string) {
	if group == "" {
		return -1, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return -1, []string{fmt.Sprintf("group %q of [control] group does not exist on this host, so only root may use vipctl; create it with `groupadd --system %s` and restart vipd, or set group = \"\"", group, group)}
	}
	gid, err = strconv.Atoi(g.Gid)
	if err != nil {
		return -1, []string{fmt.Sprintf("group %q of [control] group has no numeric id (%q), so only root may use vipctl", group, g.Gid)}
	}
	return gid, nil
}

// prepareDir makes the directory of the socket if there is none. A private directory
// of ours that no group was chosen for (as systemd's RuntimeDirectory= makes it) is
// given to the group, or its members could not reach the socket in it.
func prepareDir(dir string, gid int) (warning string, err error) {
	fi, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return "", fmt.Errorf("make the directory of the control socket: %w", err)
		}
		if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("make the directory of the control socket: %w", err)
		}
		if fi, err = os.Stat(dir); err != nil {
			return "", fmt.Errorf("look at the directory of the control socket: %w", err)
		}
	case err != nil:
		return "", fmt.Errorf("look at the directory of the control socket: %w", err)
	}
	if !fi.IsDir() {
		return "", fmt.Errorf("%s is not a directory: choose another [control] socket", dir)
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if gid < 0 || !ok || int(st.Gid) == gid || fi.Mode().Perm()&0o001 != 0 {
		return "", nil
	}
	if fi.Mode().Perm() == dirMode && int(st.Uid) == os.Geteuid() && int(st.Gid) == os.Getegid() {
		if err := os.Lchown(dir, -1, gid); err != nil {
			return "", fmt.Errorf("give %s to the control group: %w", dir, err)
		}
		return "", nil
	}
	return fmt.Sprintf("members of the control group cannot reach the socket through %s (mode %v, group %d): `chgrp %d %s && chmod g+x %s`",
		dir, fi.Mode().Perm(), st.Gid, gid, dir, dir), nil
}

// ErrInUse says that a process answers on the socket already.
var ErrInUse = errors.New("another process answers there")

// removeStale removes the socket of a daemon that is gone, and nothing else.
func removeStale(path string) error {
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at control socket %s: %w", path, err)
	}
	if fi.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("control socket %s: a file that is no socket is in the way (%v); remove it or choose another [control] socket", path, fi.Mode())
	}
	conn, err := net.DialTimeout("unix", path, staleDial)
	if err == nil {
		holder := "a process"
		if caller, err := peerCaller(conn.(*net.UnixConn)); err == nil {
			holder = fmt.Sprintf("process %d", caller.PID)
		}
		return errors.Join(fmt.Errorf("control socket %s: %w (%s): stop it first, or choose another [control] socket", path, ErrInUse, holder), conn.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("control socket %s: %w (%w); stop whatever uses it, or choose another [control] socket", path, ErrInUse, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove stale control socket: %w", err)
	}
	return nil
}
