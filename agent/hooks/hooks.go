// SPDX-License-Identifier: Apache-2.0

// Package hooks runs an executable of the operator for each transition of a group: one at a time per
// group, in order, each with a timeout. [Runner.Submit] never waits.
//
// A hook that is slower than the transitions falls behind by at most [MaxWaiting] of them. Then the
// two oldest waiting ones are merged: into one from the old state of the first to the new state of
// the second, or into none if these are the same. So the hook gets a sequence without a gap up to the
// present state.
package hooks

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"vipd/agent/command"
)

const (
	// MaxWaiting is how many transitions of one group wait for its hook.
	MaxWaiting = 16
	// maxRunning is how many hooks run at once on this node: a link failure changes all groups of
	// the interface.
	maxRunning = 16
	// killPatience is how long Close waits for hooks that it has killed.
	killPatience = time.Second
)

// Hook describes what to run.
type Hook struct {
	// Path is the absolute path of the executable.
	Path string
	// Timeout is how long it may run before its process group is killed.
	Timeout time.Duration
}

// Transition is passed to a hook.
type Transition struct {
	// ID is the caller's identifier, returned in [Result].
	ID              uint64
	Group, From, To string
	Reason          string
	// Addresses are those of the group, with their prefix lengths.
	Addresses  []string
	Generation uint64
}

// Options of [New].
type Options struct {
	// Report receives every result, from several goroutines; it must not block. Required.
	Report func(Result)
	// Log receives what is not part of a result; nil discards it.
	Log *slog.Logger
	// Commands runs the executables; nil runs them as child processes.
	Commands command.Runner

	run func(ctx context.Context, h Hook, t Transition, skipped int) Result // set by tests
}

// Runner runs hooks.
type Runner struct {
	opts    Options
	ctx     context.Context // ends when running hooks are to be killed
	kill    context.CancelFunc
	running chan struct{} // one entry per running hook
	workers sync.WaitGroup

	mu     sync.Mutex
	groups map[string]*line // groups with transitions to handle
	closed bool
}

// line is the queue of one group.
type line struct{ waiting []job }

type job struct {
	hook Hook
	Transition
	merged []uint64 // IDs of the transitions that were merged into this one
}

// New returns a runner.
func New(opts Options) *Runner {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Commands == nil {
		opts.Commands = command.Local{}
	}
	if opts.run == nil {
		opts.run = func(ctx context.Context, h Hook, t Transition, skipped int) Result {
			return execute(ctx, opts.Commands, h, t, skipped)
		}
	}
	r := &Runner{opts: opts, running: make(chan struct{}, maxRunning), groups: map[string]*line{}}
	r.ctx, r.kill = context.WithCancel(context.Background())
	return r
}

// Submit queues a transition for its group's hook. It never blocks.
func (r *Runner) Submit(h Hook, t Transition) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		r.opts.Report(Result{Transition: t, Outcome: Interrupted, Ended: time.Now()})
		return
	}
	l := r.groups[t.Group]
	if l == nil {
		l = &line{}
		r.groups[t.Group] = l
		r.workers.Go(func() { r.work(t.Group, l) })
	}
	l.waiting = append(l.waiting, job{hook: h, Transition: t})
	for len(l.waiting) > MaxWaiting {
		l.merge()
	}
	r.mu.Unlock()
}

// merge replaces the two oldest waiting transitions by one, or by none if they lead back to the
// state before. The caller makes sure that there is a third.
func (l *line) merge() {
	first, second := l.waiting[0], l.waiting[1]
	gone := slices.Concat(first.merged, []uint64{first.ID}, second.merged)
	l.waiting = l.waiting[1:]
	if first.From == second.To {
		gone = append(gone, second.ID)
		l.waiting = l.waiting[1:]
		gone = append(gone, l.waiting[0].merged...)
	} else {
		l.waiting[0].From = first.From
	}
	l.waiting[0].merged = gone
}

// work runs the hooks of a group until none is waiting.
func (r *Runner) work(group string, l *line) {
	for {
		r.mu.Lock()
		if len(l.waiting) == 0 {
			delete(r.groups, group)
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		select {
		case r.running <- struct{}{}:
		case <-r.ctx.Done():
		}
		// Taken only now: waiting transitions can still be merged.
		r.mu.Lock()
		j := l.waiting[0]
		l.waiting = l.waiting[1:]
		r.mu.Unlock()
		if r.ctx.Err() != nil {
			r.report(j, Result{Outcome: Interrupted})
			continue
		}
		res := r.opts.run(r.ctx, j.hook, j.Transition, len(j.merged))
		<-r.running
		r.report(j, res)
	}
}

// report reports the result of a job and of the transitions that were merged into it.
func (r *Runner) report(j job, res Result) {
	for _, id := range j.merged {
		t := Transition{ID: id, Group: j.Group}
		r.opts.Report(Result{Transition: t, Hook: j.hook.Path, Outcome: Skipped, Ended: time.Now()})
	}
	res.Ended = time.Now()
	res.Transition, res.Hook, res.Skipped = j.Transition, j.hook.Path, len(j.merged)
	r.opts.Report(res)
}

// Waiting returns how many transitions wait, for each group with a running hook.
func (r *Runner) Waiting() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]int, len(r.groups))
	for name, l := range r.groups {
		out[name] = len(l.waiting)
	}
	return out
}

// Close accepts no more transitions, lets waiting and running hooks continue for the given time, and
// kills the rest.
func (r *Runner) Close(patience time.Duration) {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		r.workers.Wait()
		close(idle)
	}()
	defer r.kill()
	select {
	case <-idle:
		return
	case <-time.After(patience):
	}
	r.kill()
	select {
	case <-idle:
	case <-time.After(killPatience):
		r.opts.Log.Warn("a hook is still running after it was killed; it is abandoned")
	}
}
