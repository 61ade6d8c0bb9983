// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"vipd/agent/state/durable"
)

// ErrLocked reports that another vipd uses this state.
var ErrLocked = errors.New("another vipd is running")

// Lock is the exclusive claim on a runtime directory. The kernel releases it
// when the process ends, whatever the cause.
//
// A process that can open a file can also flock it, even read-only, and so keep the next
// vipd from starting. The lock is therefore a file that only the daemon's user has ever been
// able to open. A file that others could open (0.1.0 made it 0644) is replaced instead of
// made private, because a process that already has it open keeps it.
type Lock struct {
	f *os.File
}

// LockName is the lock's file in runtime_dir.
const LockName = "vipd.lock"

const (
	lockMode    = 0o600
	othersBits  = 0o077
	writersBits = 0o022
)

// LockDir takes the lock of dir and creates the directory if it is missing. If another
// process holds the lock, the error wraps ErrLocked and names that process.
func LockDir(dir string, log *slog.Logger) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("create runtime_dir: %w", err)
	}
	keepWritersOut(dir, log)
	path := filepath.Join(dir, LockName)
	f, err := openPrivate(path)
	if errors.Is(err, errOpenToOthers) {
		log.Warn("replaced a lock file that other users could open", "path", path)
		if err = replaceLock(path); err == nil {
			f, err = openPrivate(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open lock %s: %w", path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w on %s (%s): stop it first, or give this one its own runtime_dir and bpf_dir",
				ErrLocked, dir, holder(f))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// The process id is for the operator whose vipd is refused; the flock is the lock.
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil { // a full disk is no reason to leave the addresses without an owner
		log.Warn("cannot write the process id into the lock; is runtime_dir full?", "err", err)
	}
	return &Lock{f: f}, nil
}

// errOpenToOthers reports that other users may have opened a file.
var errOpenToOthers = errors.New("other users can open it")

// openPrivate opens a file that only this user can open, and creates it if it is missing.
func openPrivate(path string) (*os.File, error) {
	// Does not follow a symbolic link and does not wait for a FIFO in its place.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, lockMode)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, fs.ErrPermission) {
		return nil, errOpenToOthers
	}
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil {
		st, ok := fi.Sys().(*syscall.Stat_t)
		if !fi.Mode().IsRegular() || fi.Mode().Perm()&othersBits != 0 || ok && int(st.Uid) != os.Geteuid() {
			err = errOpenToOthers
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// replaceLock replaces a lock file that others may have opened. A second lock, on a file
// that never was open to others, keeps another vipd from replacing the file that this one
// has just locked.
func replaceLock(path string) error {
	guard, err := openPrivate(path + ".new")
	if err != nil {
		return err
	}
	defer guard.Close()
	if err := unix.Flock(int(guard.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	if f, err := openPrivate(path); err == nil { // another vipd was faster
		return f.Close()
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+LockName+".*") // 0600
	if err != nil {
		return err
	}
	err = errors.Join(tmp.Close(), os.Rename(tmp.Name(), path))
	return errors.Join(err, durable.IgnoreMissing(os.Remove(tmp.Name())))
}

// keepWritersOut removes write access to the directory from other users, who could replace
// the lock file.
func keepWritersOut(dir string, log *slog.Logger) {
	fi, err := os.Stat(dir)
	if err != nil || fi.Mode().Perm()&writersBits == 0 || fi.Mode()&fs.ModeSticky != 0 {
		return
	}
	err = os.Chmod(dir, fi.Mode().Perm()&^writersBits)
	log.Warn("other users could write to runtime_dir; removed that right. Make it a directory of root's with mode 0750",
		"dir", dir, "mode", fi.Mode().Perm(), "err", err)
}

func holder(f *os.File) string {
	data, err := io.ReadAll(io.LimitReader(f, 32))
	pid := strings.TrimSpace(string(data))
	if err != nil || pid == "" {
		return "process unknown"
	}
	return "process " + pid
}

// Close releases the lock, even while a command that was just started still has the file
// open until its exec. The file stays: without it, two processes could lock two files of
// the same name.
func (l *Lock) Close() error {
	return errors.Join(unix.Flock(int(l.f.Fd()), unix.LOCK_UN), l.f.Close())
}
