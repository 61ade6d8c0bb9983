// SPDX-License-Identifier: Apache-2.0

// Package ordinary runs what can wait on threads of ordinary priority: it serves HTTP clients, within a share of one
// core, and does single tasks.
//
// Under the systemd unit the whole process has real-time priority (docs/decisions/agent.md). A thread that serves a
// connection leaves real-time priority and ends with the connection. A [Gate] limits how many of them run at once and
// their total processor time. [Aside] runs a task that is not limited.
package ordinary

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Thread is the OS thread of one goroutine, which serves one connection or one task. Only that
// goroutine may use it.
type Thread struct {
	gate    *Gate
	locked  bool
	charged time.Duration // processor time of the thread that was charged
	inside  bool
}

// own binds the calling goroutine to a thread of ordinary priority. The thread is never unlocked, so
// that the runtime ends it with the goroutine and creates no other thread from it (runtime.newm).
func (t *Thread) own() error {
	if t.locked {
		return nil
	}
	runtime.LockOSThread()
	t.locked = true
	t.charged = threadTime()
	if !RealTime() {
		return nil
	}
	if err := LeaveRealTime(); err != nil {
		return err
	}
	// Without CAP_SYS_NICE, or LimitNICE= of the unit, it fails and the thread waits longer.
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, urgent)
	return nil
}

// urgent is the nice value of such a thread. The garbage collector stops every goroutine for a moment. Its
// threads have real-time priority and spin until all have stopped: with ten busy programs beside vipd they
// used up to 24 % of a core while a thread with nice 0 waited for its time slice, and 6 % with this value.
// A gate limits what the thread uses, so others lose nothing.
const urgent = -20

// Aside runs work on a thread of ordinary priority and waits for it. It returns the error of work, or why that was not
// run. Call it once at a time: [Reserve] provides for one such thread.
func Aside(work func() error) error {
	if !RealTime() {
		return work()
	}
	ended := make(chan error, 1)
	go func() {
		var t Thread
		if err := t.own(); err != nil {
			ended <- err
			return
		}
		ended <- work()
	}()
	return <-ended
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

// Reserve raises GOMAXPROCS by the number of ordinary threads that run at once: an ordinary thread that
// the kernel does not schedule keeps its P, and the election loop must not wait for it.
func Reserve() {
	if RealTime() {
		const aside = 1
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + gates*slots + aside)
	}
}

// threadTime returns the processor time of the calling thread.
func threadTime() time.Duration {
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &at); err != nil {
		return 0
	}
	return time.Duration(at.Nano())
}

type threadKey struct{}

// NewThread returns a thread for the goroutine that will use it.
func (g *Gate) NewThread() *Thread { return &Thread{gate: g} }

// With returns a context with a thread, for [http.Server.ConnContext].
func With(ctx context.Context, t *Thread) context.Context {
	return context.WithValue(ctx, threadKey{}, t)
}

// Of returns the thread of a request, or nil.
func Of(ctx context.Context) *Thread {
	t, _ := ctx.Value(threadKey{}).(*Thread)
	return t
}

// Turn gives the calling goroutine's thread ordinary priority and waits for its turn, at most for
// patience. Done must follow. A nil thread does not wait.
func (t *Thread) Turn(ctx context.Context, patience time.Duration) error {
	if t == nil || t.gate == nil || t.inside {
		return nil
	}
	if err := t.own(); err != nil {
		return err
	}
	if err := t.gate.enter(ctx, patience); err != nil {
		t.gate.charge(t.used())
		return err
	}
	t.inside = true
	return nil
}

// Done ends a turn. The next turn is charged for what the thread does until then.
func (t *Thread) Done() {
	if t == nil || !t.inside {
		return
	}
	t.inside = false
	used := t.used()
	t.gate.done(used)
}

// chargeRest charges what the thread did outside its turns.
func (t *Thread) chargeRest() {
	if t != nil && t.locked && !t.inside {
		t.gate.charge(t.used())
	}
}

// Exempt gives the calling goroutine's thread ordinary priority without a turn, for a command of the
// operator, whose processor time is not charged. Forgive must follow.
func (t *Thread) Exempt() error {
	if t == nil || t.gate == nil {
		return nil
	}
	return t.own()
}

// Forgive discards the time that was not charged yet.
func (t *Thread) Forgive() {
	if t != nil && t.locked {
		t.used()
	}
}

func (t *Thread) used() time.Duration {
	was := t.charged
	t.charged = threadTime()
	return t.charged - was
}

// Serve runs a handler in a turn of the request's thread. The turn ends with the first byte of the answer, so
// that a slow client does not delay others, or with the handler. busy answers a request without a turn.
func Serve(
	w http.ResponseWriter, r *http.Request, patience time.Duration,
	next http.Handler, busy func(http.ResponseWriter, error),
) {
	t := Of(r.Context())
	if err := t.Turn(r.Context(), patience); err != nil {
		busy(w, err)
		return
	}
	defer t.chargeRest()
	defer t.Done()
	next.ServeHTTP(&writer{ResponseWriter: w, thread: t}, r)
}

// writer ends the turn before the first write: a slow client must not hold it.
type writer struct {
	http.ResponseWriter
	thread *Thread
}

// Write implements http.ResponseWriter.
func (w *writer) Write(b []byte) (int, error) {
	w.thread.Done()
	return w.ResponseWriter.Write(b)
}

// Unwrap supports [http.ResponseController].
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
