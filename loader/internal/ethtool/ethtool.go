// SPDX-License-Identifier: Apache-2.0

// Package ethtool reads and switches features of NICs.
package ethtool

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// NIC reads and switches a NIC's features by the kernel's names. It does not use github.com/safchain/ethtool, which
// does the same: that allocates a megabyte whenever it reads the features, and they are read once per second and
// interface.
type NIC struct{}

// From include/uapi/linux/ethtool.h.
const (
	ethFeatures  = 4  // ETH_SS_FEATURES
	ethStringLen = 32 // ETH_GSTRING_LEN
	ethWords     = 4  // of struct ethtool_get_features_block
	ethActive    = 2  // the word of it with what is on
)

// ifreqPtr is struct ifreq with a pointer in its union.
type ifreqPtr struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [24 - unsafe.Sizeof(uintptr(0))]byte
}

// Features returns whether each feature is on.
func (NIC) Features(ifname string) (map[string]bool, error) {
	names, err := featureNames(ifname)
	if err != nil {
		return nil, err
	}
	blocks := (len(names) + 31) / 32
	v := make([]uint32, 2+ethWords*blocks) // struct ethtool_gfeatures
	v[0], v[1] = unix.ETHTOOL_GFEATURES, uint32(blocks)
	if err := Call(ifname, v); err != nil {
		return nil, err
	}
	on := make(map[string]bool, len(names))
	for i, name := range names {
		on[name] = v[2+i/32*ethWords+ethActive]>>(i%32)&1 != 0
	}
	return on, nil
}

// Switch switches one feature. A driver may refuse silently.
func (NIC) Switch(ifname, feature string, on bool) error {
	names, err := featureNames(ifname)
	if err != nil {
		return err
	}
	blocks := (len(names) + 31) / 32
	v := make([]uint32, 2+2*blocks) // struct ethtool_sfeatures
	v[0], v[1] = unix.ETHTOOL_SFEATURES, uint32(blocks)
	for i, name := range names {
		if name != feature {
			continue
		}
		v[2+i/32*2] = 1 << (i % 32) // valid
		if on {
			v[2+i/32*2+1] = 1 << (i % 32) // requested
		}
		return Call(ifname, v)
	}
	return fmt.Errorf("this kernel knows no %s", feature)
}

// featureNames lists the kernel's names by bit number.
func featureNames(ifname string) ([]string, error) {
	info := []uint32{unix.ETHTOOL_GSSET_INFO, 0, 0, 0, 0} // struct ethtool_sset_info
	*(*uint64)(unsafe.Pointer(&info[2])) = 1 << ethFeatures
	if err := Call(ifname, info); err != nil {
		return nil, err
	}
	n := int(info[4])
	v := make([]uint32, 3+n*ethStringLen/4) // struct ethtool_gstrings
	v[0], v[1], v[2] = unix.ETHTOOL_GSTRINGS, ethFeatures, uint32(n)
	if err := Call(ifname, v); err != nil {
		return nil, err
	}
	names := make([]string, n)
	for i := range names {
		text := unsafe.Slice((*byte)(unsafe.Pointer(&v[3+i*ethStringLen/4])), ethStringLen)
		names[i] = unix.ByteSliceToString(text)
	}
	return names, nil
}

// Call passes value, whose first word is the command, to the kernel and back.
func Call(ifname string, value []uint32) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var req ifreqPtr
	if len(ifname) >= len(req.name) {
		return unix.EINVAL
	}
	copy(req.name[:], ifname)
	req.data = unsafe.Pointer(&value[0])
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	runtime.KeepAlive(value)
	if errno != 0 {
		return errno
	}
	return nil
}
