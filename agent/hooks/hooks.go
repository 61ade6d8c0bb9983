// SPDX-License-Identifier: Apache-2.0

// Package hooks tells an executable of the operator's about the transitions of a group:
// one at a time for each group, in order, each within its time. Whoever submits a
// transition never waits.
//
// A hook that is slower than the transitions falls behind by at most [MaxWaiting] of
// them. Then the two oldest that wait become one, from the first one's old state to the
// second one's new state, or none if that is the same: so the hook is always told the
// whole way to the present state, without a gap, and never more than it can use.
package hooks

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// MaxWaiting is how many transitions of one group wait for its hook.
	MaxWaiting = 16
	// maxRunning is how many hooks run at once on this node: a link that goes takes all
	// of its groups along.
	maxRunning = 16
	// killPatience is how long Close waits for hooks that it has killed.
	killPatience = time.Second
)

// Hook is what to run.
type Hook struct {
	// Path is the absolute path of the executable.
	Path string
	// Timeout is how long it may run before its process group is killed.
	Timeout time.Duration
}

// Transition is what a hook is told.
type Transition struct {
	// ID is the caller's, for [Result].
	ID              uint64
	Group, From, To string
	Reason          string
	// Addresses are those of the group, with their prefix lengths.
	Addresses  []string
	Generation uint64
}

// Options of [New].
type Options struct {
	// Report gets every outcome, from several goroutines; it must not block. Required.
	Report func(Result)
	// Log gets what does not fit into a result; nil discards it.
	Log *slog.Logger

	run func(ctx context.Context, h Hook, t Transition, skipped int) Result // of tests
}

// Runner runs hooks.
type Runner struct {
	opts    Options
	ctx     context.Context // ends when what runs is to be killed
	kill    context.CancelFunc
	running chan struct{} // a place for each that runs
	workers sync.WaitGroup

	mu     sync.Mutex
	groups map[string]*line // those with something to do
	closed bool
}

// line is what one group's hook has still to be told.
type line struct{ waiting []job }

type job struct {
	hook Hook
	Transition
	merged []uint64 // IDs of the transitions that became part of this one
}

// New makes a runner with nothing to do.
func New(opts Options) *Runner {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.run == nil {
		opts.run = execute
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

// merge makes one of the two oldest that wait, or none if they come back to where they
// began. There is always a third.
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

// work runs until the group has nothing more to do.
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
		// Taken only now: what waits for a place can still be merged.
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

// report tells of a job and of the transitions that became part of it.
func (r *Runner) report(j job, res Result) {
	for _, id := range j.merged {
		r.opts.Report(Result{Transition: Transition{ID: id, Group: j.Group}, Hook: j.hook.Path, Outcome: Skipped, Ended: time.Now()})
	}
	res.Ended = time.Now()
	res.Transition, res.Hook, res.Skipped = j.Transition, j.hook.Path, len(j.merged)
	r.opts.Report(res)
}

// Waiting is how many transitions wait for the hook of each group that has any.
func (r *Runner) Waiting() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]int, len(r.groups))
	for name, l := range r.groups {
		out[name] = len(l.waiting)
	}
	return out
}

// Close takes nothing more, lets what waits and what runs go on for as long as given,
// and kills the rest.
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
		r.opts.Log.Warn("a hook does not end although it was killed, leaving it behind")
	}
}
