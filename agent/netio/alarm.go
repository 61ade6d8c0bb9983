// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Alarm wakes one goroutine at a time of CLOCK_BOOTTIME, which counts a suspend, or when another one rings.
//
// A timer of Go may be a millisecond late, since epoll_wait(2) counts in milliseconds, and wakes up to three threads:
// one that polls, one that runs what is due, and the runtime's monitor. Here the thread that polls finds the goroutine.
type Alarm struct {
	file *os.File
	conn syscall.RawConn
	rung atomic.Bool

	at   int64 // what Wait waits for
	set  bool  // the timer is
	wait func(fd uintptr) bool
}

// NewAlarm makes an alarm.
func NewAlarm() (*Alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("create timer: %w", err)
	}
	a := &Alarm{file: os.NewFile(uintptr(fd), "timer")}
	if a.conn, err = a.file.SyscallConn(); err != nil {
		return nil, fmt.Errorf("create timer: %w", err)
	}
	a.wait = a.waitOn
	return a, nil
}

// Wait returns at the time, in nanoseconds, or after a call of Ring that no Wait has returned for. It may return for no
// reason. Only one goroutine may wait.
func (a *Alarm) Wait(at int64) {
	a.at, a.set = at, false
	_ = a.conn.Read(a.wait) // fails only if the alarm is closed
	a.rung.Store(false)
}

// waitOn is called once before the goroutine waits for the descriptor, and again when it is readable. Setting a timer
// forgets that it has expired, so it need not be read.
func (a *Alarm) waitOn(fd uintptr) bool {
	if a.set {
		return true
	}
	a.set = true
	setTimer(fd, a.at)
	return a.rung.Load() // before, and its timer was replaced
}

// Ring ends a wait, or the next one. Any goroutine may call it.
func (a *Alarm) Ring() {
	a.rung.Store(true)
	_ = a.conn.Control(func(fd uintptr) { setTimer(fd, 0) }) // fails only if the alarm is closed
}

// Close ends a wait. The alarm must not be used afterwards.
func (a *Alarm) Close() error { return a.file.Close() }

// setTimer sets a timer that expires once, at once if the time has passed.
func setTimer(fd uintptr, at int64) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(at, 1))} // 0 would stop it
	_, _, errno := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, fd, unix.TFD_TIMER_ABSTIME,
		uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
	if errno != 0 {
		panic("timerfd_settime: " + errno.Error()) // its arguments are valid
	}
}
