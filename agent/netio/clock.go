// SPDX-License-Identifier: Apache-2.0

package netio

import "golang.org/x/sys/unix"

// BootNow returns CLOCK_BOOTTIME in nanoseconds. It is the clock of
// bpf_ktime_get_boot_ns, so leases written by the agent and receive times
// written by XDP compare; it goes on during a suspend and never steps.
func BootNow() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// The kernel has had this clock since 2.6.39; without it no lease
		// could ever be compared, so there is nothing sane to go on with.
		panic("clock_gettime(CLOCK_BOOTTIME): " + err.Error())
	}
	return ts.Nano()
}
