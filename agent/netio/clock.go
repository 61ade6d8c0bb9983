// SPDX-License-Identifier: Apache-2.0

package netio

import "golang.org/x/sys/unix"

// BootNow returns CLOCK_BOOTTIME in nanoseconds. bpf_ktime_get_boot_ns reads the same clock, so that
// leases of the agent and receive times of XDP can be compared. It counts during a suspend and never
// steps.
func BootNow() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// The kernel has this clock since 2.6.39; without it no lease can be compared.
		panic("clock_gettime(CLOCK_BOOTTIME): " + err.Error())
	}
	return ts.Nano()
}
