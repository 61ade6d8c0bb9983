// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A NIC that takes VLAN tags out of the frame hides them from XDP, native and
// generic alike: an advert or an ARP request of another VLAN would look like one of
// the untagged network. So the offload is off as long as we are attached. A veth
// delivers out-of-band tags all the same if its peer's tx-vlan-offload is on;
// nothing on our side can see those.

const ethFlagRXVLAN = 1 << 8 // ETH_FLAG_RXVLAN

// ethtoolValue is struct ethtool_value.
type ethtoolValue struct {
	cmd, data uint32
}

// ifreqPtr is struct ifreq with a pointer in its union.
type ifreqPtr struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [24 - unsafe.Sizeof(uintptr(0))]byte
}

// hideNoTags switches the offload off and says whether it was on. A driver that
// knows no such thing hides none.
func hideNoTags(ifname string) (wasOn bool, err error) {
	flags, err := ethtoolFlags(ifname, unix.ETHTOOL_GFLAGS, 0)
	if errors.Is(err, unix.EOPNOTSUPP) || err == nil && flags&ethFlagRXVLAN == 0 {
		return false, nil
	}
	if err == nil {
		_, err = ethtoolFlags(ifname, unix.ETHTOOL_SFLAGS, flags&^ethFlagRXVLAN)
	}
	if err == nil {
		flags, err = ethtoolFlags(ifname, unix.ETHTOOL_GFLAGS, 0)
	}
	if err == nil && flags&ethFlagRXVLAN != 0 {
		err = errors.New("it stays on")
	}
	if err != nil {
		return false, fmt.Errorf("switch rx-vlan-offload of %s off: %w", ifname, err)
	}
	return true, nil
}

// hideTagsAgain undoes hideNoTags; an interface that is gone needs nothing.
func hideTagsAgain(ifindex int) error {
	l, err := netlink.LinkByIndex(ifindex)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up interface %d: %w", ifindex, err)
	}
	name := l.Attrs().Name
	flags, err := ethtoolFlags(name, unix.ETHTOOL_GFLAGS, 0)
	if err == nil {
		_, err = ethtoolFlags(name, unix.ETHTOOL_SFLAGS, flags|ethFlagRXVLAN)
	}
	if err != nil && !goneDevice(err) {
		return fmt.Errorf("switch rx-vlan-offload of %s on again: %w", name, err)
	}
	return nil
}

func ethtoolFlags(ifname string, cmd, data uint32) (uint32, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	value := &ethtoolValue{cmd: cmd, data: data}
	var req ifreqPtr
	if len(ifname) >= len(req.name) {
		return 0, unix.EINVAL
	}
	copy(req.name[:], ifname)
	req.data = unsafe.Pointer(value)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	runtime.KeepAlive(value)
	if errno != 0 {
		return 0, errno
	}
	return value.data, nil
}
