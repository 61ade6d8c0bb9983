// SPDX-License-Identifier: Apache-2.0

// Package checks runs the health checks of the config, each on its own timer, and keeps their
// verdicts. It never waits for its caller, and the caller never waits for a probe: receive from
// [Runner.Changed], then read [Runner.Results].
package checks

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"vipd/agent/command"
	"vipd/agent/config"
	"vipd/agent/ordinary"
)

// closeTimeout is how long Close waits for probes that ignore their context.
const closeTimeout = 2 * time.Second

// State is the verdict on one check.
type State uint8

// States. A check begins as Unknown, which does not demote the node.
const (
	Unknown State = iota + 1
	Passing
	Failing
)

// String returns unknown, passing or failing.
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

// Result is the present state of one check.
type Result struct {
	Name  string
	State State
	// Reason is why the last run failed, as one printable line; empty if it passed.
	Reason string
	// Since is when State was reached, by the host's clock.
	Since time.Time
	// At is when the last run ended; zero before the first.
	At time.Time
	// Demotion is added while the check is Failing, in units of advskew.
	Demotion int
	// Confirmed is true once a run of this process agreed with State. A restored verdict counts
	// before that, but may be out of date.
	Confirmed bool
	// Patience is how long after the start of the check State can stay unconfirmed, see
	// [Patience].
	Patience time.Duration
	// Subject identifies what the check examines, see [Subject].
	Subject string
}

// Verdict is the state of a check in an earlier process.
type Verdict struct {
	// Subject is as of [Subject]; a verdict on another subject is ignored.
	Subject string
	State   State
	Reason  string
	Since   time.Time
}

// Probe runs the check once and returns nil if it passes. It should end when the context ends, and
// is not called again before it has ended.
type Probe func(ctx context.Context) error

// Options of [New].
type Options struct {
	// Log receives every change of a verdict; nil discards them.
	Log *slog.Logger
	// Now is the host's clock, for [Result.Since]; nil means time.Now.
	Now func() time.Time
	// Verdicts are those of an earlier process, by name of the check. The first
	// [Runner.Reconcile] uses them for checks with the same subject.
	Verdicts map[string]Verdict
	// Commands runs the programs of command checks; nil runs them as child processes.
	Commands command.Runner

	probe func(config.Check) Probe // set by tests
}

// Runner runs the checks of the last [Runner.Reconcile].
type Runner struct {
	opts    Options
	changed chan struct{}
	running sync.WaitGroup
	byHand  chan struct{} // one entry per run on request

	mu     sync.Mutex
	tasks  map[string]*task
	closed bool
}

// New returns a runner without checks.
func New(opts Options) *Runner {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Commands == nil {
		opts.Commands = command.Local{}
	}
	if opts.probe == nil {
		gate := ordinary.NewGate(ordinary.CheckShare)
		opts.probe = func(c config.Check) Probe { return newProbe(c, opts.Commands, gate) }
	}
	return &Runner{
		opts: opts, tasks: map[string]*task{}, byHand: make(chan struct{}, maxOnce),
		changed: make(chan struct{}, 1), // one token is enough: results are read as a whole
	}
}

// Changed returns a channel that gets a token after a verdict changed or a check was added or removed.
func (r *Runner) Changed() <-chan struct{} { return r.changed }

// Results returns the state of every check, sorted by name. The demotion of a check that is not
// listed must be removed: the check is no longer in the config.
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

// Reconcile runs these checks and no others. An unchanged check continues. A changed check with
// the same subject keeps its verdict, so that a reload moves no address; any other begins as
// Unknown. Reconcile does not wait for removed checks to end; their results are ignored.
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
			if t.result.Subject == old.result.Subject {
				t.inherit(old)
			}
		}
		if v, ok := r.opts.Verdicts[c.Name]; ok && old == nil {
			t.restore(v)
		}
		r.tasks[c.Name] = t
		r.running.Go(func() { t.run(ctx) })
	}
	r.opts.Verdicts = nil // they apply to the config of the start only
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

// Close stops all checks and waits for at most closeTimeout until they have ended.
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
		r.opts.Log.Warn("a check is still running after the stop timeout; it is abandoned")
	}
}

// notify puts a token into changed. It never blocks: a token that is still there is as good.
func (r *Runner) notify() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}
