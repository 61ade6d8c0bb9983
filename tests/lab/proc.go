// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netns"

	"vipd/setup"
)

// spawner starts every process of a lab from one OS thread that lives as long as the lab: Pdeathsig fires when the
// *thread* that started a child ends, and the threads of ordinary goroutines come and go.
type spawner struct {
	jobs chan func()
	done chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // never unlocked: the thread ends with the lab
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

func (s *spawner) stop() {
	close(s.jobs)
	<-s.done
}

func (s *spawner) start(ns netns.NsHandle, cmd *exec.Cmd) error {
	result := make(chan error, 1)
	s.jobs <- func() {
		home, err := netns.Get()
		if err != nil {
			result <- err
			return
		}
		defer home.Close()
		if err := netns.Set(ns); err != nil {
			result <- fmt.Errorf("enter namespace: %w", err)
			return
		}
		err = cmd.Start()
		if back := netns.Set(home); back != nil {
			panic(fmt.Sprintf("the lab's spawner cannot leave a namespace: %v", back))
		}
		result <- err
	}
	return <-result
}

// Proc is a process in a host's namespace, in a process group of its own. It dies with the test binary.
type Proc struct {
	Name string
	// Started is taken just before the process was started.
	Started time.Time

	lab    *Lab
	cmd    *exec.Cmd
	output string
	exited chan struct{}
	err    error
	once   sync.Once
}

// Spawn starts a program in the host's namespace; its output goes to a file that a failed test shows.
func (h *Host) Spawn(name, program string, args ...string) *Proc {
	h.lab.Helper()
	return h.SpawnEnv(nil, name, program, args...)
}

// SpawnEnv is Spawn with more environment than the test's own. A program that the set-up does not install fails the
// test, also where it happens to be there.
func (h *Host) SpawnEnv(env []string, name, program string, args ...string) *Proc {
	h.lab.Helper()
	l := h.lab
	l.check(setup.Check(program), "start %s on %s", name, h.Name)
	p := &Proc{Name: h.Name + "/" + name, lab: l, exited: make(chan struct{})}
	p.output = filepath.Join(l.dir, fmt.Sprintf("%s-%s-%d.log", h.Name, name, len(l.procs)))
	out, err := os.Create(p.output)
	l.check(err, "make the log of %s", p.Name)
	defer out.Close()
	p.cmd = exec.Command(program, args...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = append(append(os.Environ(), "VIPD_LAB="+l.name), env...)
	p.cmd.Dir = l.dir
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.Started = time.Now()
	l.check(l.spawner.start(h.ns, p.cmd), "start %s", p.Name)
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	l.procs = append(l.procs, p)
	return p
}

// Run runs a program in the host's namespace to its end and returns its exit code and output.
// A program that is still running after timeout is killed and fails the test.
func (h *Host) Run(timeout time.Duration, program string, args ...string) (code int, output string) {
	h.lab.Helper()
	p := h.Spawn(filepath.Base(program), program, args...)
	code = p.Wait(timeout)
	return code, p.Output()
}

// MustRun is Run for a program that has to succeed.
func (h *Host) MustRun(timeout time.Duration, program string, args ...string) string {
	h.lab.Helper()
	code, output := h.Run(timeout, program, args...)
	if code != 0 {
		h.lab.Fatalf("%s: %s %s: exit code %d\n%s", h.Name, program, strings.Join(args, " "), code, output)
	}
	return output
}

// PID returns the process ID, also after the process has exited.
func (p *Proc) PID() int { return p.cmd.Process.Pid }

// Output returns standard output and error so far.
func (p *Proc) Output() string {
	b, err := os.ReadFile(p.output)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Running reports whether the process has not been seen to exit.
func (p *Proc) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Signal sends a signal to the process alone and returns the time just before.
func (p *Proc) Signal(sig syscall.Signal) time.Time {
	p.lab.Helper()
	at := time.Now()
	p.lab.check(p.cmd.Process.Signal(sig), "send %v to %s", sig, p.Name)
	return at
}

// Wait waits for the process to exit and returns its exit code, or -1 if a signal ended it.
func (p *Proc) Wait(timeout time.Duration) int {
	p.lab.Helper()
	select {
	case <-p.exited:
	case <-time.After(timeout):
		p.lab.Fatalf("%s still runs after %v; its output:\n%s", p.Name, timeout, tail(p.Output(), 40))
	}
	return p.cmd.ProcessState.ExitCode()
}

// Kill9 kills the process group and waits for the process; no effect when it has exited. It returns the time just
// before the signal.
func (p *Proc) Kill9() time.Time {
	at := time.Now()
	p.once.Do(func() {
		// The group may hold scripts of a program that has exited itself; that there is none left is not an error.
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	})
	<-p.exited
	return at
}

func (p *Proc) exit() string {
	if p.Running() {
		return "running"
	}
	return p.cmd.ProcessState.String()
}
