// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BareReport is what a thread costs that does nothing but sleep and send, and how late its sleeps end.
type BareReport struct {
	Percent float64         // of a core
	Late    []time.Duration // per wake-up, in order
}

// BareSender sends a frame from the port each period for a time, by a thread with the scheduling of
// packaging/vipd.service: what any program that advertises so often costs on this machine at least.
func (p *Port) BareSender(frame []byte, period, over time.Duration) (r BareReport) {
	l := p.Host.lab
	l.Helper()
	fd, err := p.Host.packetSocket(p.IfName, 0)
	l.check(err, "send at %s", p.Name)
	defer unix.Close(fd)
	to := &unix.SockaddrLinklayer{Ifindex: p.Host.IfIndex(p.IfName), Halen: 6}
	l.check(unix.Bind(fd, to), "bind to %s", p.Name)
	// The thread keeps its P, since it makes system calls without telling the Go scheduler: that would cost more.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) - 1)
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its priority
		done <- bare(&r, fd, frame, period, over)
	}()
	l.check(<-done, "send each %v at %s", period, p.Name)
	return r
}

func bare(r *BareReport, fd int, frame []byte, period, over time.Duration) error {
	if err := takeRealtime(unitPriority); err != nil {
		return err
	}
	r.Late = make([]time.Duration, 0, int(over/period)+1)
	cpu, began := readClock(unix.CLOCK_THREAD_CPUTIME_ID), readClock(unix.CLOCK_MONOTONIC)
	var now int64
	for due := began + int64(period); due <= began+int64(over); due += int64(period) {
		if now = sleepUntil(due); now < due {
			return errors.New("sleep: ended early")
		}
		r.Late = append(r.Late, time.Duration(now-due))
		_, _, e := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&frame[0])), uintptr(len(frame)))
		if e != 0 && !errors.Is(e, syscall.EINTR) {
			return fmt.Errorf("send: %w", e)
		}
		for due+int64(period) < now { // what was missed is not made up for
			due += int64(period)
		}
	}
	r.Percent = 100 * float64(readClock(unix.CLOCK_THREAD_CPUTIME_ID)-cpu) /
		float64(readClock(unix.CLOCK_MONOTONIC)-began)
	return nil
}

// unitPriority is CPUSchedulingPriority of packaging/vipd.service.
const unitPriority = 55

// takeRealtime gives the calling thread a real-time priority, in round robin.
func takeRealtime(priority int32) error {
	_, _, e := unix.RawSyscall(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_RR, uintptr(unsafe.Pointer(&priority)))
	if e != 0 {
		return fmt.Errorf("take real-time priority: %w", e)
	}
	return nil
}

// sleepUntil sleeps until a time of CLOCK_MONOTONIC, and returns when it woke.
func sleepUntil(due int64) int64 {
	wake := unix.NsecToTimespec(due)
	const absolute = 1 // TIMER_ABSTIME
	for e := syscall.EINTR; errors.Is(e, syscall.EINTR); {
		_, _, e = unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, absolute,
			uintptr(unsafe.Pointer(&wake)), 0, 0, 0)
	}
	return readClock(unix.CLOCK_MONOTONIC)
}

// readClock returns a time in nanoseconds.
func readClock(clock uintptr) int64 {
	var ts unix.Timespec
	_, _, _ = unix.RawSyscall(unix.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&ts)), 0) // cannot fail
	return ts.Nano()
}
