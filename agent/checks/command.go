// SPDX-License-Identifier: Apache-2.0

package checks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxOutput is how much of a command's output is looked at; the rest is read and
	// forgotten, so that the command is not held up.
	maxOutput = 4 << 10
	// maxSaid is how much of it goes into a reason.
	maxSaid = 100
	// pipePatience is for an output that somebody else still holds open.
	pipePatience = 30 * time.Millisecond
)

// commandProbe wants a program to end with status 0. It runs without a shell, in a
// process group of its own that is killed when the program ends or the time is up, in
// / and with next to nothing in its environment.
func commandProbe(name string, argv []string) Probe {
	return func(ctx context.Context) error {
		var out head
		var exited atomic.Bool
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Dir = "/"
		cmd.Env = []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"HOME=/", "LC_ALL=C", "VIPD_CHECK=" + name,
		}
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.WaitDelay = pipePatience
		cmd.Cancel = func() error {
			if exited.Load() {
				return os.ErrProcessDone
			}
			return unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		}
		if err := cmd.Start(); err != nil {
			return startFault(err)
		}
		// The program is left unreaped while its group is killed: its number, which is
		// the group's, cannot belong to anybody else meanwhile.
		waitExit(cmd.Process.Pid)
		exited.Store(true)
		if err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return errors.Join(fmt.Errorf("kill what it left running: %w", err), cmd.Wait())
		}
		err := cmd.Wait()
		if err == nil || cmd.ProcessState != nil && cmd.ProcessState.Success() { // else only the output was cut
			return nil
		}
		if ee, ok := errors.AsType[*exec.ExitError](err); ok {
			err = errors.New(ee.String())
		}
		if said := out.firstLine(); said != "" {
			return fmt.Errorf("%w: %s", err, said)
		}
		return err
	}
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
	switch err = bare(err); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w (or its interpreter)", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: make it executable", err)
	}
	return err
}

// head keeps the beginning of what is written to it. os/exec writes from one goroutine
// and has ended it when Wait returns.
type head struct{ b bytes.Buffer }

// Write implements io.Writer and never fails.
func (h *head) Write(p []byte) (int, error) {
	h.b.Write(p[:min(len(p), maxOutput-h.b.Len())])
	return len(p), nil
}

func (h *head) firstLine() string {
	for line := range strings.Lines(h.b.String()) {
		if line = oneLine(line, maxSaid); line != "" {
			return line
		}
	}
	return ""
}
