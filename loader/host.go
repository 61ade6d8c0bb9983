// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// host is what Open needs to know of the machine; tests stand in another one.
type host struct {
	btfPath string
	capEff  func() (uint64, error)
	release func() string
}

func realHost() host {
	return host{btfPath: "/sys/kernel/btf/vmlinux", capEff: effectiveCaps, release: kernelRelease}
}

// check names what is missing on this host in one sentence each.
func (h host) check() error {
	caps, err := h.capEff()
	if err != nil {
		return fmt.Errorf("read the capabilities of this process: %w", err)
	}
	if missing := missingCaps(caps); len(missing) > 0 {
		return fmt.Errorf("%w %s: run vipd as root or give its unit AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_NET_ADMIN CAP_NET_RAW",
			ErrNoCapability, strings.Join(missing, " and "))
	}
	if _, err := os.Stat(h.btfPath); err != nil {
		return fmt.Errorf("%w (%s is missing): boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distribution kernels from 5.15 on are",
			ErrNoBTF, h.btfPath)
	}
	return nil
}

// explain turns a load that failed on an old kernel into a sentence about that.
// The version alone is no reason to refuse: distributions port BPF back.
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

// missingCaps lists what is not in the set of CAP_BPF, CAP_NET_ADMIN, and CAP_PERFMON:
// without that the verifier forbids any offset into a frame that is not a constant,
// such as that behind IP options. CAP_SYS_ADMIN contains it and CAP_BPF.
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
