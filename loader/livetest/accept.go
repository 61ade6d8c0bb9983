// SPDX-License-Identifier: Apache-2.0

package livetest

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolSGRO is ETHTOOL_SGRO of linux/ethtool.h.
const ethtoolSGRO = 0x2c

// Accept has a veth of this thread's network namespace take what programs send, also without a native program of its own:
// the driver then has the poll function it needs for GRO, which without one takes no such frames.
func Accept(ifname string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("gro of %s: %w", ifname, err)
	}
	defer unix.Close(fd)
	on := [2]uint32{ethtoolSGRO, 1} // struct ethtool_value
	var req struct {                // struct ifreq
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [24 - unsafe.Sizeof(uintptr(0))]byte
	}
	copy(req.name[:unix.IFNAMSIZ-1], ifname)
	req.data = unsafe.Pointer(&on)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	runtime.KeepAlive(&on)
	if errno != 0 {
		return fmt.Errorf("gro of %s: %w", ifname, errno)
	}
	return nil
}
