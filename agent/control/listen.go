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
	// staleDial is how long a daemon may take to accept before its socket is stale. The kernel
	// accepts, so a daemon that hangs does, too.
	staleDial = time.Second
)

// purpose is how messages name a socket, and the key that sets its path.
type purpose struct{ what, key string }

func controlSocket() purpose { return purpose{"control socket", "[control] socket"} }

func pageSocket() purpose { return purpose{"socket of the status page", "[http] listen"} }

// listen creates the socket. At no time can a user open it whom its final owner and mode refuse.
func (of purpose) listen(path, group string) (*listener, []string, error) {
	gid, warnings := lookupGroup(group)
	dirWarning, err := of.prepareDir(filepath.Dir(path), gid)
	if err != nil {
		return nil, nil, err
	}
	if dirWarning != "" {
		warnings = append(warnings, dirWarning)
	}
	if err := of.removeStale(path); err != nil {
		return nil, nil, err
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		// bind(2) gives the file the mode of the socket's inode less the umask (net/unix/af_unix.c,
		// unix_bind_bsd). Setting that mode first avoids a change of the process's umask.
		var chmodErr error
		err := c.Control(func(fd uintptr) { chmodErr = unix.Fchmod(int(fd), privateMode) })
		return errors.Join(err, chmodErr)
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, nil, fmt.Errorf("listen on %s %s: %w; check %s", of.what, path, err, of.key)
	}
	ul := l.(*net.UnixListener) // always, for network "unix"
	ul.SetUnlinkOnClose(false)  // remove checks first whether the file is still ours
	out := newListener(ul, path)
	if err := out.publish(gid); err != nil {
		return nil, nil, errors.Join(err, ul.Close(), os.Remove(path))
	}
	return out, warnings, nil
}

// publish gives the socket file to its group. It changes the group before the mode: until then only
// root and the daemon's user can connect.
func (l *listener) publish(gid int) error {
	if gid >= 0 {
		if err := os.Lchown(l.path, -1, gid); err != nil {
			return fmt.Errorf("give control socket %s to group %d: %w", l.path, gid, err)
		}
	}
	if err := os.Chmod(l.path, socketMode); err != nil {
		return fmt.Errorf("set the mode of control socket %s: %w", l.path, err)
	}
	// While it is held open, the inode's number is not reused, so remove recognises the file.
	f, err := os.OpenFile(l.path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("look at control socket %s: %w", l.path, err)
	}
	l.file = f
	return nil
}

// remove removes the socket file if it is still ours.
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

// lookupGroup returns -1 if only root may read.
func lookupGroup(group string) (gid int, warnings []string) {
	if group == "" {
		return -1, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return -1, []string{fmt.Sprintf("group %q of [control] group does not exist on this host, so only root may use "+
			"vipctl; create it with `groupadd --system %s` and restart vipd, or set group = \"\"", group, group)}
	}
	gid, err = strconv.Atoi(g.Gid)
	if err != nil {
		return -1, []string{
			fmt.Sprintf("group %q of [control] group has no numeric ID (%q), so only root may use vipctl", group, g.Gid),
		}
	}
	return gid, nil
}

// prepareDir creates the directory of the socket if there is none. A private directory of the daemon's
// own group, as systemd's RuntimeDirectory= creates it, is given to the control group; otherwise its
// members cannot reach the socket.
func (of purpose) prepareDir(dir string, gid int) (warning string, err error) {
	fi, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return "", fmt.Errorf("make the directory of the %s: %w", of.what, err)
		}
		if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("make the directory of the %s: %w", of.what, err)
		}
		if fi, err = os.Stat(dir); err != nil {
			return "", fmt.Errorf("look at the directory of the %s: %w", of.what, err)
		}
	case err != nil:
		return "", fmt.Errorf("look at the directory of the %s: %w", of.what, err)
	}
	if !fi.IsDir() {
		return "", fmt.Errorf("%s is not a directory: choose another %s", dir, of.key)
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
	return fmt.Sprintf("members of the control group cannot reach the socket through %s (mode %v, group %d): "+
		"`chgrp %d %s && chmod g+x %s`", dir, fi.Mode().Perm(), st.Gid, gid, dir, dir), nil
}

// ErrInUse means that a process already answers on the socket.
var ErrInUse = errors.New("another process answers there")

// removeStale removes the socket of a daemon that is gone, and no other file.
func (of purpose) removeStale(path string) error {
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at %s %s: %w", of.what, path, err)
	}
	if fi.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s %s: the file exists and is not a socket (%v); remove it or choose another %s",
			of.what, path, fi.Mode(), of.key)
	}
	conn, err := net.DialTimeout("unix", path, staleDial)
	if err == nil {
		holder := "a process"
		if caller, err := peerCaller(conn.(*net.UnixConn)); err == nil {
			holder = fmt.Sprintf("process %d", caller.PID)
		}
		return errors.Join(
			fmt.Errorf("%s %s: %w (%s): stop it first, or choose another %s", of.what, path, ErrInUse, holder, of.key),
			conn.Close(),
		)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s %s: %w (%w); stop the process that uses it, or choose another %s",
			of.what, path, ErrInUse, err, of.key)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the stale %s: %w", of.what, err)
	}
	return nil
}
