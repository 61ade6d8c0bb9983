// SPDX-License-Identifier: Apache-2.0

// Package ordinary runs what can wait at ordinary priority: it serves HTTP clients, within a share of one core, and
// does single tasks.
//
// Under the systemd unit the whole process has real-time priority (docs/decisions/agent.md). Work runs on a thread that
// leaves it and ends with the work. A [Gate] limits how much of it runs; [Aside] runs a task that is not limited.
//
// No garbage is collected meanwhile, and one thread at a time runs such work; see garbage.go.
package ordinary

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// urgent is the nice value of an ordinary thread. What it holds of the runtime, the election loop waits for. A gate
// limits what the thread uses, so others lose nothing.
const urgent = -20

// apart is held while work runs at ordinary priority.
var apart sync.Mutex

// thread is the OS thread of work at ordinary priority.
type thread struct {
	turn turn
	id   int
	has  chan struct{} // closed when the work has its thread
	ask  chan func()   // what the caller is to do for the work; closed when that ends; nil if the caller works itself
	back chan error    // the caller has done it

	began   time.Duration // processor time of the thread at the begin of its turn
	used    time.Duration // within the turn
	err     error         // why the work did not run
	failure any           // what it panicked with
}

// turn is one at a gate. Without a gate there is always one.
type turn struct {
	ctx      context.Context
	gate     *Gate
	patience time.Duration
	taken    bool
}

func (t *turn) take() error {
	if t.gate == nil {
		return nil
	}
	err := t.gate.enter(t.ctx, t.patience)
	t.taken = err == nil
	return err
}

func (t *turn) end(used time.Duration) {
	if t.taken {
		t.gate.done(used)
	}
	t.taken = false
}

type threadKey struct{}

// Aside runs work on a thread of ordinary priority and waits for it. It returns the error of work, or why that was not
// run. A panic of the work is one of the caller.
func Aside(ctx context.Context, work func(context.Context) error) error {
	var g *Gate
	var err error
	refused := g.Do(ctx, 0, func(ctx context.Context) { err = work(ctx) })
	return cmp.Or(refused, err)
}

// Do waits for a turn, at most for patience, runs work on a thread of ordinary priority, and waits for it. It returns
// why the work was not run: [ErrBusy], or the error of ctx. A panic of the work is one of the caller. A nil gate has a
// turn for everyone at once. Work must not call Do, and must wait for others in [Outside].
func (g *Gate) Do(ctx context.Context, patience time.Duration, work func(context.Context)) error {
	t := &thread{turn: turn{ctx: ctx, gate: g, patience: patience}}
	ctx = context.WithValue(ctx, threadKey{}, t)
	if err := t.turn.take(); err != nil {
		return err
	}
	if RealTime() {
		t.run(func() { work(ctx) })
	} else {
		t.runHere(func() { work(ctx) })
	}
	t.turn.end(t.used)
	if t.failure != nil {
		panic(t.failure)
	}
	return t.err
}

// Outside waits for something. Within the work of [Gate.Do], to which ctx was passed, it ends the turn before, and
// takes another one afterwards; it returns why there is none. The work should end then.
func Outside(ctx context.Context, wait func()) error {
	t, within := ctx.Value(threadKey{}).(*thread)
	if !within {
		wait()
		return nil
	}
	t.used += threadTime() - t.began
	var err error
	if t.ask == nil {
		err = t.leave(wait)
	} else {
		t.ask <- wait
		err = <-t.back
	}
	t.used, t.began = 0, threadTime()
	if p := t.failure; p != nil {
		t.failure = nil
		panic(p)
	}
	return err
}

// leave waits outside the turn. A panic is one of the work.
func (t *thread) leave(wait func()) error {
	t.turn.end(t.used)
	t.catch(wait)
	return t.turn.take()
}

// runHere runs work on the calling thread, which has ordinary priority.
func (t *thread) runHere(work func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	t.do(work)
}

// run runs work on a new thread, and does what that asks for.
func (t *thread) run(work func()) {
	apart.Lock()
	defer apart.Unlock()
	garbage.keep()
	t.has, t.ask, t.back = make(chan struct{}), make(chan func()), make(chan error)
	go t.own(work)
	for wait := range t.ask {
		t.settle(asleep)
		garbage.collect()
		apart.Unlock()
		err := t.leave(wait)
		apart.Lock()
		garbage.keep()
		t.back <- err
	}
	t.settle(ended)
	garbage.collect()
}

// own makes the calling goroutine's thread one of ordinary priority. The goroutine is never unlocked from it, so that
// the runtime ends it with the goroutine and creates no other thread from it (runtime.newm).
func (t *thread) own(work func()) {
	runtime.LockOSThread()
	t.id = unix.Gettid()
	if t.id == unix.Getpid() {
		// The runtime never ends the main thread. While it is locked, the work gets another one.
		go t.own(work)
		<-t.has
		runtime.UnlockOSThread()
		return
	}
	defer close(t.ask)
	close(t.has)
	if t.err = LeaveRealTime(); t.err != nil {
		return
	}
	// Without CAP_SYS_NICE, or LimitNICE= of the unit, it fails and the thread waits longer.
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, urgent)
	t.do(work)
}

// do does the work and notes how it ended.
func (t *thread) do(work func()) {
	t.began = threadTime()
	defer func() { t.used += threadTime() - t.began }()
	t.catch(work)
}

// catch runs f and keeps its panic, with the place where it happened.
func (t *thread) catch(f func()) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			t.failure = p
		default:
			t.failure = fmt.Sprintf("%v\n\n%s", p, debug.Stack())
		}
	}()
	f()
}

// settle waits until the thread is as it should be, so that the collector need not stop it: it has told the caller
// something just before, and may not have got the processor since.
func (t *thread) settle(done func(stat []byte) bool) {
	path := "/proc/self/task/" + strconv.Itoa(t.id) + "/stat"
	for wait := 20 * time.Microsecond; ; wait = min(2*wait, time.Millisecond) {
		if stat, _ := os.ReadFile(path); done(stat) { // it cannot be read if the thread has ended
			return
		}
		time.Sleep(wait)
	}
}

func ended(stat []byte) bool { return len(stat) == 0 }

// asleep reports whether a thread sleeps, by its state, which follows the name in parentheses (proc_pid_stat(5)).
func asleep(stat []byte) bool {
	_, state, _ := bytes.Cut(stat, []byte(") "))
	return ended(stat) || bytes.HasPrefix(state, []byte("S"))
}

// LeaveRealTime gives the calling thread ordinary priority. The caller has locked its goroutine to it.
func LeaveRealTime() error {
	if !RealTime() {
		return nil
	}
	// The older call, since system call filters can check its arguments.
	var param int32 // struct sched_param
	_, _, e := unix.Syscall(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_NORMAL, uintptr(unsafe.Pointer(&param)))
	if e != 0 {
		return fmt.Errorf("cannot leave real-time priority: %w", e)
	}
	return nil
}

// RealTime reports whether the calling thread has real-time priority.
func RealTime() bool {
	policy, _, e := unix.Syscall(unix.SYS_SCHED_GETSCHEDULER, 0, 0, 0)
	return e == 0 && policy&^unix.SCHED_RESET_ON_FORK != unix.SCHED_NORMAL
}

// threadTime returns the processor time of the calling thread.
func threadTime() time.Duration {
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &at); err != nil {
		return 0
	}
	return time.Duration(at.Nano())
}
