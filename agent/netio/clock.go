// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// BootNow returns CLOCK_BOOTTIME in nanoseconds. bpf_ktime_get_boot_ns reads the same clock, so that
// leases of the agent and receive times of XDP can be compared. It counts during a suspend and never
// steps.
//
// It is a raw system call: one that the Go runtime knows of wakes the runtime's monitor thread when the process was
// idle, which then polls every 20 us for a while (runtime.sysmon). That took half of the time of an idle BACKUP.
func BootNow() int64 {
	var ts unix.Timespec
	_, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&ts)), 0)
	if errno != 0 {
		// The kernel has this clock since 2.6.39; without it no lease can be compared.
		panic("clock_gettime(CLOCK_BOOTTIME): " + errno.Error())
	}
	return ts.Nano()
}
