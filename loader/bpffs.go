// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const bpffsRoot = "/sys/fs/bpf"

// ensureBPFFS creates dir on a bpf file system. It mounts one only in the usual place: elsewhere that is the
// administrator's decision.
func ensureBPFFS(dir string, log *slog.Logger) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("bpf directory %q: give an absolute path below %s", dir, bpffsRoot)
	}
	on, err := onBPFFS(dir)
	if err != nil {
		return fmt.Errorf("bpf directory %s: %w", dir, err)
	}
	if !on {
		if dir != bpffsRoot && !strings.HasPrefix(dir, bpffsRoot+"/") {
			return fmt.Errorf("%w at %s: mount one there with `mount -t bpf bpf DIR` or set bpf_dir below %s",
				ErrNoBPFFS, dir, bpffsRoot)
		}
		if err := unix.Mount("bpf", bpffsRoot, "bpf", 0, "mode=0700"); err != nil {
			return fmt.Errorf("%w at %s: mount it with `mount -t bpf bpf %s`: %w", ErrNoBPFFS, bpffsRoot, bpffsRoot, err)
		}
		log.Info("mounted the bpf file system", "path", bpffsRoot)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the bpf directory: %w", err)
	}
	return keepOthersOut(dir, log)
}

// keepOthersOut closes our directory to other users: any user who can open it can lock it and keep the next vipd from
// starting. The root of the file system belongs to the administrator.
func keepOthersOut(dir string, log *slog.Logger) error {
	const others = 0o077
	fi, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at the bpf directory: %w", err)
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if dir == bpffsRoot || !ok || int(st.Uid) != os.Geteuid() || fi.Mode().Perm()&others == 0 {
		return nil
	}
	if err := os.Chmod(dir, fi.Mode().Perm()&^others); err != nil {
		return fmt.Errorf("close the bpf directory to other users: %w", err)
	}
	log.Info("closed the bpf directory to other users", "dir", dir, "mode", fi.Mode().Perm())
	return nil
}

// onBPFFS reports whether dir, or its nearest existing parent, is on bpffs.
func onBPFFS(dir string) (bool, error) {
	for {
		var st unix.Statfs_t
		err := unix.Statfs(dir, &st)
		if err == nil {
			return uint32(st.Type) == unix.BPF_FS_MAGIC, nil // the type's width is the platform's
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == "/" {
			return false, err
		}
		dir = filepath.Dir(dir)
	}
}

// lockDir locks the directory for this process; unlockDir unlocks it.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open the bpf directory: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	err = errors.Join(err, f.Close())
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w: another vipd holds %s; stop it first or give this one its own bpf_dir", ErrBusy, dir)
	}
	return nil, fmt.Errorf("lock the bpf directory %s: %w", dir, err)
}

// unlockDir unlocks the directory even if a command that was just started still has the file open, until its exec.
func unlockDir(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}

// removeDir removes the directory unless it is a mount point, is not empty, or is in a directory that we cannot write
// to.
func removeDir(dir string) error {
	err := os.Remove(dir)
	for _, harmless := range []error{unix.ENOTEMPTY, unix.EBUSY, fs.ErrNotExist, fs.ErrPermission} {
		if errors.Is(err, harmless) {
			return nil
		}
	}
	return err
}
