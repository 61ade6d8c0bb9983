// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another vipd works on this state.
var ErrLocked = errors.New("another vipd is running")

// lockFile is the exclusive claim on a runtime directory. The kernel drops it
// with the process, however that ends.
type lockFile struct {
	f *os.File
}

// lockDir takes the lock of dir, which is made when missing. The error wraps
// ErrLocked and names the holder's process when somebody else has it.
func lockDir(dir string) (*lockFile, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("create runtime_dir: %w", err)
	}
	path := filepath.Join(dir, "vipd.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w on %s (%s): stop it first, or give this one its own runtime_dir and bpf_dir",
				ErrLocked, dir, holder(f))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// The process id is for the person who is refused; the flock is the lock.
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), f.Close())
		}
	}
	return &lockFile{f: f}, nil
}

func holder(f *os.File) string {
	data, err := io.ReadAll(io.LimitReader(f, 32))
	pid := strings.TrimSpace(string(data))
	if err != nil || pid == "" {
		return "process unknown"
	}
	return "process " + pid
}

// Close gives the lock back. The file stays: removing it would let two
// processes lock two files of the same name.
func (l *lockFile) Close() error { return l.f.Close() }
