// SPDX-License-Identifier: Apache-2.0

// Package command runs a program of the operator, a hook or a health check, so that it cannot harm
// the daemon: without a shell, in its own process group that is killed when the program ends or its
// time is up, with a minimal environment, without inherited files, and never at real-time priority.
package command

import (
	"cmp"
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

	"golang.org/x/sys/unix"

	"vipd/agent/ordinary"
)

// pipePatience is how long to wait for an output that an escaped process holds open.
const pipePatience = 200 * time.Millisecond

// Spec describes what to run.
type Spec struct {
	// Argv is the absolute path of the program and its arguments.
	Argv []string
	// Dir is the working directory; empty means /.
	Dir string
	// Env is NAME=value in addition to PATH, HOME and LC_ALL.
	Env []string
	// Output receives stdout and stderr; it must not fail. It is not used after Run has returned.
	Output io.Writer
}

// NotStartedError means that the program does not exist or could not be started.
type NotStartedError struct{ Err error }

// Error implements error.
func (e *NotStartedError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *NotStartedError) Unwrap() error { return e.Err }

// ExitError is the result of a program that did not end with status 0.
type ExitError struct {
	// Code is the exit status; -1 if Signal ended the program.
	Code   int
	Signal syscall.Signal
	// Core reports a core dump.
	Core bool
}

// Error implements error, in the words of os.ProcessState.
func (e *ExitError) Error() string {
	switch {
	case e.Signal == 0:
		return "exit status " + strconv.Itoa(e.Code)
	case e.Core:
		return "signal: " + e.Signal.String() + " (core dumped)"
	}
	return "signal: " + e.Signal.String()
}

// KeepFiles sets close-on-exec for every open file except the first three. Go sets it for the files
// that it opens; this is for files that the process inherited itself.
func KeepFiles() error {
	err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		err = keepEach() // Linux before 5.11
	}
	if err != nil {
		return fmt.Errorf("cannot set close-on-exec for open files: %w", err)
	}
	return nil
}

// keepEach is KeepFiles for a kernel without CLOSE_RANGE_CLOEXEC.
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

// Run runs a program. It returns nil if the program ended with status 0, an [*ExitError] if it ended
// otherwise or was killed because ctx ended, and a [*NotStartedError] if it did not start.
func Run(ctx context.Context, spec Spec) error {
	var exited atomic.Bool
	cmd := exec.CommandContext(ctx, spec.Argv[0], spec.Argv[1:]...)
	cmd.Dir = cmp.Or(spec.Dir, "/")
	cmd.Env = slices.Concat([]string{
		"PATH=" + searchPath, "HOME=/", "LC_ALL=C",
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
	if err := start(cmd); err != nil {
		return &NotStartedError{startFault(err)}
	}
	// The program is not reaped until its group is killed, so that the kernel cannot reuse its
	// process number, which is that of the group.
	waitExit(cmd.Process.Pid)
	exited.Store(true)
	if err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return errors.Join(fmt.Errorf("cannot kill the processes that it left: %w", err), cmd.Wait())
	}
	return ending(cmd, cmd.Wait())
}

// start starts a program without real-time priority. A child inherits the scheduling policy of the thread that forks;
// this one ends with its goroutine, which never unlocks it. It is not [ordinary.Aside], which would keep other work
// waiting for a file system that hangs.
func start(cmd *exec.Cmd) error {
	if !ordinary.RealTime() {
		return cmd.Start()
	}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := ordinary.LeaveRealTime(); err != nil {
			started <- err
			return
		}
		started <- cmd.Start()
	}()
	return <-started
}

// ending returns the result of a program that was waited for.
func ending(cmd *exec.Cmd, err error) error {
	if cmd.ProcessState == nil {
		return err
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case cmd.ProcessState.Success(): // err is about its output alone
		return nil
	case ok && status.Signaled():
		return &ExitError{Code: -1, Signal: status.Signal(), Core: status.CoreDump()}
	case ok && status.Exited():
		return &ExitError{Code: status.ExitStatus()}
	}
	return err
}

// waitExit returns when the process has ended and is not yet reaped.
func waitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return // an error is reported by the Wait that follows
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
		return fmt.Errorf("%w; make it executable", err)
	}
	return err
}
