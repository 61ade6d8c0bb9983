// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"

	"github.com/vishvananda/netns"
)

var labName = regexp.MustCompile(`^` + Prefix + `.*-([0-9]+)-[0-9]+(?:-|$)`)

// leftovers returns the paths of namespaces, pins and directories whose lab belonged to a process for which gone is
// true.
func leftovers(gone func(pid int) bool) []string {
	var paths []string
	for _, dir := range []string{"/run/netns", BPFRoot, os.TempDir()} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // no such directory, nothing in it
		}
		for _, e := range entries {
			m := labName.FindStringSubmatch(e.Name())
			if m == nil {
				continue
			}
			if pid, err := strconv.Atoi(m[1]); err == nil && gone(pid) {
				paths = append(paths, filepath.Join(dir, e.Name()))
			}
		}
	}
	return paths
}

// Leftovers returns the paths of what labs of this very process have left behind; to be asked when all have ended.
func Leftovers() []string {
	return leftovers(func(pid int) bool { return pid == os.Getpid() })
}

// Sweep removes what labs of processes that no longer run have left behind, and names it.
func Sweep() ([]string, error) {
	paths := leftovers(func(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
	var errs []error
	for _, path := range paths {
		var err error
		if filepath.Dir(path) == "/run/netns" {
			err = netns.DeleteNamed(filepath.Base(path))
		} else {
			err = removeAll(path)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("sweep %s: %w", path, err))
		}
	}
	return paths, errors.Join(errs...)
}
