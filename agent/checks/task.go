// SPDX-License-Identifier: Apache-2.0

package checks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"vipd/agent/config"
)

const (
	// grace lets a probe that was cut off say itself what it waited for.
	grace = 50 * time.Millisecond
	// maxReason bounds what goes into a status.
	maxReason = 200
)

var errHangs = errors.New("an earlier run does not end although it was cut off")

// task is one check that runs. Its verdict and result are under the runner's lock, the
// rest belongs to the task's goroutine.
type task struct {
	r      *Runner
	check  config.Check
	probe  Probe
	cancel context.CancelFunc

	verdict hysteresis
	result  Result

	hung <-chan struct{} // end of a run that outlived its timeout
}

func (r *Runner) newTask(c config.Check, cancel context.CancelFunc) *task {
	return &task{
		r: r, check: c, probe: r.opts.probe(c), cancel: cancel,
		verdict: hysteresis{rise: c.Rise, fall: c.Fall, state: Unknown},
		result:  Result{Name: c.Name, State: Unknown, Since: r.opts.Now(), Demotion: c.Demotion},
	}
}

// inherit takes the verdict of a task that looked at the same thing.
func (t *task) inherit(old *task) {
	t.verdict.state = old.verdict.state
	t.result.State, t.result.Reason, t.result.Since = old.result.State, old.result.Reason, old.result.Since
}

// run probes now and then at every interval. A tick that comes while a probe runs is
// made up for at once, further ones are not.
func (t *task) run(ctx context.Context) {
	ticker := time.NewTicker(t.check.Interval)
	defer ticker.Stop()
	for {
		err := t.once(ctx)
		if ctx.Err() != nil {
			return
		}
		t.record(err)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// once returns at the timeout, whatever the probe does.
func (t *task) once(ctx context.Context) error {
	if t.hung != nil {
		select {
		case <-t.hung: // too late to say anything about now
			t.hung = nil
		default:
			return errHangs
		}
	}
	ctx, cancel := context.WithTimeout(ctx, t.check.Timeout)
	defer cancel()
	var err error // to be read after done
	done := make(chan struct{})
	t.r.running.Go(func() {
		err = t.probe(ctx)
		close(done)
	})
	select {
	case <-done:
		return t.outcome(ctx, err)
	case <-ctx.Done():
	}
	patience := time.NewTimer(grace)
	defer patience.Stop()
	select {
	case <-done:
		return t.outcome(ctx, err)
	case <-patience.C:
		t.hung = done
		return t.outcome(ctx, ctx.Err())
	}
}

// outcome says in words that the time was up, however the probe put it.
func (t *task) outcome(ctx context.Context, err error) error {
	switch {
	case err == nil || !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return err
	case t.check.Type == config.CheckCommand:
		return fmt.Errorf("did not end within %v and was killed", t.check.Timeout)
	}
	return fmt.Errorf("no answer within %v", t.check.Timeout)
}

// record counts one result, unless the check was taken out meanwhile.
func (t *task) record(err error) {
	t.r.mu.Lock()
	if t.r.tasks[t.check.Name] != t {
		t.r.mu.Unlock()
		return
	}
	t.result.Reason, t.result.At = "", t.r.opts.Now()
	if err != nil {
		t.result.Reason = oneLine(subject(t.check)+": "+err.Error(), maxReason)
	}
	changed := t.verdict.add(err == nil)
	if changed {
		t.result.State, t.result.Since = t.verdict.state, t.r.opts.Now()
		t.r.notify()
	}
	result := t.result
	t.r.mu.Unlock()
	if !changed {
		return
	}
	if result.State == Failing {
		t.r.opts.Log.Warn("check fails", "check", result.Name, "reason", result.Reason, "demotion", result.Demotion)
	} else {
		t.r.opts.Log.Info("check passes", "check", result.Name)
	}
}

// oneLine keeps text from being more than one line, or an order to a terminal.
func oneLine(text string, limit int) string {
	text = strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return ' '
	}, strings.ToValidUTF8(text, "?"))
	if text = strings.TrimSpace(text); len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "..."
	}
	return text
}
