// SPDX-License-Identifier: Apache-2.0

// Package checks runs the health checks of the config, each by itself and on its own
// timer, and keeps their verdicts. It never waits for its caller and its caller never
// waits for a probe: whoever wants to know listens to [Runner.Changed] and reads
// [Runner.Results].
package checks

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"vipd/agent/config"
)

// closeTimeout is how long Close waits for probes that do not heed their context.
const closeTimeout = 2 * time.Second

// State is the verdict on one check.
type State uint8

// States. A check begins as Unknown, which demotes nobody.
const (
	Unknown State = iota + 1
	Passing
	Failing
)

// String is unknown, passing or failing.
func (s State) String() string {
	switch s {
	case Unknown:
		return "unknown"
	case Passing:
		return "passing"
	case Failing:
		return "failing"
	}
	return "invalid"
}

// Result is what is known of one check.
type Result struct {
	Name  string
	State State
	// Reason is why the last run failed, one printable line; empty when it did not.
	Reason string
	// Since is when State was reached, by the host's clock.
	Since time.Time
	// At is when the last run ended; zero before the first.
	At time.Time
	// Demotion is what the check costs while it is Failing, in units of advskew.
	Demotion int
}

// Probe looks once and returns nil if all is well. It should end when the context
// does, and is never called again before it has ended.
type Probe func(ctx context.Context) error

// Options of [New].
type Options struct {
	// Log gets every change of a verdict; nil discards them.
	Log *slog.Logger
	// Now is the host's clock, for [Result.Since]; nil means time.Now.
	Now func() time.Time

	probe func(config.Check) Probe // of tests
}

// Runner runs the checks it was last told of.
type Runner struct {
	opts    Options
	changed chan struct{}
	running sync.WaitGroup

	mu     sync.Mutex
	tasks  map[string]*task
	closed bool
}

// New makes a runner without checks.
func New(opts Options) *Runner {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.probe == nil {
		opts.probe = newProbe
	}
	return &Runner{
		opts: opts, tasks: map[string]*task{},
		changed: make(chan struct{}, 1), // one token says it all: results are read whole
	}
}

// Changed has a token after a verdict changed or a check came or went.
func (r *Runner) Changed() <-chan struct{} { return r.changed }

// Results returns what is known of every check, by name. A check that is not in it is
// not in the config, and whatever it demoted must be taken back.
func (r *Runner) Results() []Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Result, 0, len(r.tasks))
	for _, t := range r.tasks {
		out = append(out, t.result)
	}
	slices.SortFunc(out, func(a, b Result) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Reconcile runs these checks and no others. One that did not change goes on as it
// was. One that looks at the same thing by other numbers keeps its verdict, so that a
// reload moves nothing; any other begins as Unknown. It does not wait for the old ones
// to end; they are not heard any more.
func (r *Runner) Reconcile(next []config.Check) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	keep := make(map[string]bool, len(next))
	touched := false
	for _, c := range next {
		keep[c.Name] = true
		old := r.tasks[c.Name]
		if old != nil && old.check.Equal(c) {
			continue
		}
		touched = true
		ctx, cancel := context.WithCancel(context.Background())
		t := r.newTask(c, cancel)
		if old != nil {
			old.cancel()
			if sameSubject(old.check, c) {
				t.inherit(old)
			}
		}
		r.tasks[c.Name] = t
		r.running.Go(func() { t.run(ctx) })
	}
	for name, t := range r.tasks {
		if !keep[name] {
			touched = true
			t.cancel()
			delete(r.tasks, name)
		}
	}
	if touched {
		r.notify()
	}
}

// Close ends all checks and waits until they have ended, for at most 2 s.
func (r *Runner) Close() {
	r.mu.Lock()
	r.closed = true
	for name, t := range r.tasks {
		t.cancel()
		delete(r.tasks, name)
	}
	r.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		r.running.Wait()
		close(ended)
	}()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		r.opts.Log.Warn("a check does not end; it is left behind")
	}
}

// notify never blocks: a token that is still there says the same.
func (r *Runner) notify() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// sameSubject says whether two checks look at the same thing in the same way.
func sameSubject(a, b config.Check) bool {
	return a.Type == b.Type && a.Target == b.Target && a.Interface == b.Interface && slices.Equal(a.Command, b.Command)
}
