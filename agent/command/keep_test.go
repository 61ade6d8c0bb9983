// SPDX-License-Identifier: Apache-2.0

package command

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Both ways of setting close-on-exec work: for each file and for all at once.
func TestKeepEach(t *testing.T) {
	for name, keep := range map[string]func() error{"each": keepEach, "at one stroke": KeepFiles} {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := keep(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s: flags %#x, %v", name, flags, err)
		}
		_ = unix.Close(fd)
	}
}
