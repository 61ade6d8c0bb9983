// SPDX-License-Identifier: Apache-2.0

// Package command runs a program of the operator's, a hook or a health check, so that
// it can do no harm to the daemon: without a shell, in a process group of its own that
// is killed when the program ends or its time is up, with next to nothing in its
// environment, with no open file but its own three, and never at real-time priority.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pipePatience is for an output that somebody else still holds open.
const pipePatience = 30 * time.Millisecond

// Spec is what to run.
type Spec struct {
	// Argv is the program by its absolute path and its arguments.
	Argv []string
	// Env is NAME=value beside PATH, HOME and LC_ALL.
	Env []string
	// Output gets both outputs; it must never fail. It is not used any more when Run
	// has returned.
	Output io.Writer
}

// NotStartedError says that there was nothing to run, or that it could not be.
type NotStartedError struct{ Err error }

// Error implements error.
func (e *NotStartedError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *NotStartedError) Unwrap() error { return e.Err }

// Run returns nil when the program ended with status 0, an [*exec.ExitError] when it
// ended otherwise or was killed because ctx ended, and a [*NotStartedError].
func Run(ctx context.Context, spec Spec) error {
	if !realTime() {
		return run(ctx, spec)
	}
	// A child inherits the scheduling of the very thread that forks it. This one gives
	// its own up, and ends with its goroutine, which never unlocks it.
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		// The older call: filters for system calls can look into its arguments.
		var param int32 // struct sched_param
		if _, _, e := unix.Syscall(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_NORMAL, uintptr(unsafe.Pointer(&param))); e != 0 {
			done <- &NotStartedError{fmt.Errorf("leave real-time priority: %w", e)}
			return
		}
		done <- run(ctx, spec)
	}()
	return <-done
}

// KeepFiles marks every file that is open now, but for the first three, as not to be
// inherited. Go opens its own that way; this is for those that the process was started
// with.
func KeepFiles() error {
	err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		err = keepEach() // before Linux 5.11, of which the loader says what is to be said
	}
	if err != nil {
		return fmt.Errorf("keep open files from being inherited: %w", err)
	}
	return nil
}

// keepEach is KeepFiles for a kernel that cannot do it at one stroke.
func keepEach() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

func realTime() bool {
	policy, _, e := unix.Syscall(unix.SYS_SCHED_GETSCHEDULER, 0, 0, 0)
	return e == 0 && policy != unix.SCHED_NORMAL
}

func run(ctx context.Context, spec Spec) error {
	var exited atomic.Bool
	cmd := exec.CommandContext(ctx, spec.Argv[0], spec.Argv[1:]...)
	cmd.Dir = "/"
	cmd.Env = slices.Concat([]string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "LC_ALL=C",
	}, spec.Env)
	cmd.Stdout, cmd.Stderr = spec.Output, spec.Output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = pipePatience
	cmd.Cancel = func() error {
		if exited.Load() {
			return os.ErrProcessDone
		}
		return unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	}
	if err := cmd.Start(); err != nil {
		return &NotStartedError{startFault(err)}
	}
	// The program is left unreaped while its group is killed: its number, which is
	// the group's, cannot belong to anybody else meanwhile.
	waitExit(cmd.Process.Pid)
	exited.Store(true)
	if err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return errors.Join(fmt.Errorf("kill what it left running: %w", err), cmd.Wait())
	}
	err := cmd.Wait()
	if cmd.ProcessState != nil && cmd.ProcessState.Success() { // else only the output was cut
		return nil
	}
	return err
}

// waitExit returns when the process has ended and is not yet reaped.
func waitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return // or it cannot be waited for, which the wait that follows will tell
		}
	}
}

func startFault(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w (or its interpreter)", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: make it executable", err)
	}
	return err
}
