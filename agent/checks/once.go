// SPDX-License-Identifier: Apache-2.0

package checks

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"vipd/agent/command"
	"vipd/agent/config"
)

// Detail is a check with its configuration and state.
type Detail struct {
	Result
	Check config.Check
	// Good and Bad count the last consecutive results; one of them is 0.
	Good, Bad int
}

// Details returns every check, sorted by name.
func (r *Runner) Details() []Detail {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Detail, 0, len(r.tasks))
	for _, t := range r.tasks {
		out = append(out, Detail{Result: t.result, Check: t.check, Good: t.verdict.good, Bad: t.verdict.bad})
	}
	slices.SortFunc(out, func(a, b Detail) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Once is the result of one run of a check on request.
type Once struct {
	Check config.Check
	// Reason is why it failed, as one printable line; empty if it passed.
	Reason string
	// Command is the result of a command check's program; nil for other types.
	Command *command.Result
	// TimedOut reports that the run exceeded the timeout of the check.
	TimedOut bool
	Took     time.Duration
}

var (
	// ErrNoCheck means that there is no check of that name.
	ErrNoCheck = errors.New("no such check")
	// ErrBusy means that too many checks run on request.
	ErrBusy = errors.New("too many checks run on request at the same time; try again later")
)

// maxOnce is how many checks may run on request at once.
const maxOnce = 8

// RunOnce runs a check as its timer does, in addition to that, and does not count the result: the
// verdict stays.
func (r *Runner) RunOnce(ctx context.Context, name string) (out Once, err error) {
	r.mu.Lock()
	t := r.tasks[name]
	r.mu.Unlock()
	if t == nil {
		return Once{}, ErrNoCheck
	}
	select {
	case r.byHand <- struct{}{}:
		defer func() { <-r.byHand }()
	default:
		return Once{}, ErrBusy
	}
	out = Once{Check: t.check}
	probe := r.opts.probe(t.check)
	if t.check.Type == config.CheckCommand {
		// Filled before once returns, unless the probe hangs; then it is never read.
		ran := make(chan command.Result, 1)
		probe = func(ctx context.Context) error {
			res := r.opts.Commands.Run(ctx, commandJob(t.check))
			ran <- res
			return commandError(res)
		}
		defer func() {
			select {
			case res := <-ran:
				out.Command = &res
			default:
			}
		}()
	}
	out.run(ctx, r, probe)
	return out, nil
}

// run runs the probe once in a task of its own.
func (o *Once) run(ctx context.Context, r *Runner, probe Probe) {
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, o.Check.Timeout)
	defer cancel()
	alone := &task{r: r, check: o.Check, probe: probe}
	err := alone.once(limited)
	o.Took = time.Since(began)
	if err != nil {
		o.Reason = oneLine(subject(o.Check)+": "+err.Error(), maxReason)
		o.TimedOut = errors.Is(limited.Err(), context.DeadlineExceeded) && ctx.Err() == nil
	}
}
