// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// host is what Open needs to know about the machine; tests replace it.
type host struct {
	btfPath string
	procFS  string
	capEff  func() (uint64, error)
	release func() string
}

func realHost() host {
	return host{btfPath: "/sys/kernel/btf/vmlinux", procFS: "/proc", capEff: effectiveCaps, release: kernelRelease}
}

// check returns an error that names what this host lacks.
func (h host) check() error {
	caps, err := h.capEff()
	if err != nil {
		return fmt.Errorf("read the capabilities of this process: %w", err)
	}
	if missing := missingCaps(caps); len(missing) > 0 {
		return fmt.Errorf(
			"%w %s: run vipd as root or give its unit AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_NET_ADMIN CAP_NET_RAW",
			ErrNoCapability,
			strings.Join(missing, " and "),
		)
	}
	if _, err := os.Stat(h.btfPath); err != nil {
		return fmt.Errorf(
			"%w (%s is missing): boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distribution kernels from 5.15 on are",
			ErrNoBTF,
			h.btfPath,
		)
	}
	if _, err := os.Stat(filepath.Join(h.procFS, "self")); err != nil {
		return fmt.Errorf("%w at %s: mount it with `mount -t proc proc %s`", ErrNoProc, h.procFS, h.procFS)
	}
	return nil
}

// explain adds to the error of a failed load that the kernel is too old. The version alone is not a reason to refuse:
// distributions backport BPF.
func (h host) explain(err error) error {
	var major, minor int
	release := h.release()
	if _, scanErr := fmt.Sscanf(release, "%d.%d", &major, &minor); scanErr != nil {
		return err
	}
	if major > 5 || major == 5 && minor >= 15 {
		return err
	}
	return fmt.Errorf("%w (%s): boot Linux 5.15 or newer: %w", ErrKernelTooOld, release, err)
}

// missingCaps lists which of CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are missing. Without CAP_PERFMON the verifier
// refuses offsets into a frame that are not constant, such as that behind IP options. CAP_SYS_ADMIN includes it and
// CAP_BPF.
func missingCaps(set uint64) []string {
	has := func(c uint) bool { return set&(1<<c) != 0 }
	var missing []string
	if !has(unix.CAP_BPF) && !has(unix.CAP_SYS_ADMIN) {
		missing = append(missing, "CAP_BPF")
	}
	if !has(unix.CAP_PERFMON) && !has(unix.CAP_SYS_ADMIN) {
		missing = append(missing, "CAP_PERFMON")
	}
	if !has(unix.CAP_NET_ADMIN) {
		missing = append(missing, "CAP_NET_ADMIN")
	}
	return missing
}

func effectiveCaps() (uint64, error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return 0, err
	}
	return uint64(data[1].Effective)<<32 | uint64(data[0].Effective), nil
}

func kernelRelease() string {
	var uts unix.Utsname
	if unix.Uname(&uts) != nil {
		return ""
	}
	return unix.ByteSliceToString(uts.Release[:])
}
