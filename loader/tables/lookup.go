// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// lookupAttr is the part of union bpf_attr that BPF_MAP_LOOKUP_ELEM reads.
type lookupAttr struct {
	fd         uint32
	_          [4]byte
	key, value unsafe.Pointer
	flags      uint64
}

// lookupLocked reads an element of an array under its spin lock, as [ebpf.Map.LookupWithFlags] does. The election loop
// does so before each advert: this allocates nothing, and the Go runtime does not know of the system call, which never
// waits (see netio.BootNow).
func lookupLocked[V any](m *ebpf.Map, key uint32, value *V) error {
	attr := lookupAttr{
		fd: uint32(m.FD()), key: unsafe.Pointer(&key), value: unsafe.Pointer(value), flags: uint64(ebpf.LookupLock),
	}
	_, _, errno := unix.RawSyscall(unix.SYS_BPF, unix.BPF_MAP_LOOKUP_ELEM, uintptr(unsafe.Pointer(&attr)),
		unsafe.Sizeof(attr))
	if errno != 0 {
		return errno
	}
	return nil
}
