// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"math"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BootNow returns CLOCK_BOOTTIME in nanoseconds. bpf_ktime_get_boot_ns reads the same clock, so that leases of the
// agent and receive times of XDP can be compared. It counts during a suspend and never steps.
//
// Each advert needs it several times, and the Go runtime reads only CLOCK_MONOTONIC and CLOCK_REALTIME without a system
// call. So BootNow is CLOCK_MONOTONIC plus the length of all suspends, which is read again when it may have changed.
// It is never ahead of the kernel's clock, and at most some microseconds behind it.
func BootNow() int64 { return bootTime.now() }

var bootTime = newBootClock(readDay, readBoot)

// maxApart is how far the two clocks of one reading of the day may be apart by the time between them. A longer pause
// there only costs a reading of the kernel's clock.
const maxApart = 100 * time.Microsecond

// bootClock derives CLOCK_BOOTTIME. A suspend adds its length to both CLOCK_BOOTTIME and CLOCK_REALTIME, not to
// CLOCK_MONOTONIC (the kernel's tk_update_sleep_time). So if the latter two are as far apart as before, there was none.
// If they are not, there was one, or somebody set the time of day.
type bootClock struct {
	day   func() (wall, mono int64) // CLOCK_REALTIME and CLOCK_MONOTONIC
	boot  func() int64              // CLOCK_BOOTTIME, by a system call
	known atomic.Int64              // CLOCK_REALTIME - CLOCK_MONOTONIC when slept was read
	slept atomic.Int64              // CLOCK_BOOTTIME - CLOCK_MONOTONIC
}

func newBootClock(day func() (wall, mono int64), boot func() int64) *bootClock {
	c := &bootClock{day: day, boot: boot}
	c.slept.Store(math.MinInt64)
	wall, mono := day()
	c.read(wall - mono)
	return c
}

func (c *bootClock) now() int64 {
	wall, mono := c.day()
	apart := wall - mono
	if d := time.Duration(apart - c.known.Load()); d.Abs() > maxApart {
		c.read(apart)
	}
	return mono + c.slept.Load()
}

// read asks the kernel. CLOCK_MONOTONIC is read last, so that what is measured is at most the truth, which never falls.
func (c *bootClock) read(apart int64) {
	c.known.Store(apart)
	for range 3 { // whatever comes between the two readings spoils one of them
		boot := c.boot()
		_, mono := c.day()
		for slept := c.slept.Load(); boot-mono > slept && !c.slept.CompareAndSwap(slept, boot-mono); {
			slept = c.slept.Load()
		}
	}
}

var started = time.Now()

// readDay returns CLOCK_REALTIME and CLOCK_MONOTONIC in nanoseconds, the latter since the start of the process.
func readDay() (wall, mono int64) {
	now := time.Now()
	return now.UnixNano(), int64(now.Sub(started))
}

// readBoot is a raw system call: one that the Go runtime knows of wakes the runtime's monitor thread when the process
// was idle, which then polls every 20 us for a while (runtime.sysmon). That took half of the time of an idle BACKUP.
func readBoot() int64 {
	var ts unix.Timespec
	_, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&ts)), 0)
	if errno != 0 {
		// The kernel has this clock since 2.6.39; without it no lease can be compared.
		panic("clock_gettime(CLOCK_BOOTTIME): " + errno.Error())
	}
	return ts.Nano()
}
