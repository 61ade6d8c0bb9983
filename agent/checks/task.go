// SPDX-License-Identifier: Apache-2.0

package checks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"vipd/agent/config"
)

const (
	// grace is how long a cancelled probe may take to return its own error.
	grace = 50 * time.Millisecond
	// maxReason is the length limit of a reason in the status, in bytes.
	maxReason = 200
	// firstInterval is the longest interval of a check without a verdict: the node does not
	// preempt before it has one.
	firstInterval = time.Second
	// maxPatience limits how long a check without a verdict keeps the node from preempting.
	maxPatience = 2 * time.Minute
)

var errHangs = errors.New("the previous run is still running after its timeout")

// task is one running check. The runner's lock guards verdict and result; the rest belongs to
// the task's goroutine.
type task struct {
	r      *Runner
	check  config.Check
	probe  Probe
	cancel context.CancelFunc

	verdict hysteresis
	result  Result

	hung <-chan struct{} // closed when a run that exceeded its timeout ends
}

func (r *Runner) newTask(c config.Check, cancel context.CancelFunc) *task {
	return &task{
		r: r, check: c, probe: r.opts.probe(c), cancel: cancel,
		verdict: hysteresis{rise: c.Rise, fall: c.Fall, state: Unknown},
		result: Result{
			Name: c.Name, State: Unknown, Since: r.opts.Now(), Demotion: c.Demotion,
			Patience: Patience(c), Subject: Subject(c),
		},
	}
}

// inherit takes over the verdict of a task with the same subject.
func (t *task) inherit(old *task) {
	t.verdict.state = old.verdict.state
	t.result.State, t.result.Reason, t.result.Since = old.result.State, old.result.Reason, old.result.Since
	t.result.Confirmed = old.result.Confirmed
}

// run probes at once and then at every interval. If a probe takes longer than the interval, the
// next one follows at once; further missed ones are skipped.
func (t *task) run(ctx context.Context) {
	period := t.period()
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		err := t.once(ctx)
		if ctx.Err() != nil {
			return
		}
		t.record(err)
		if next := t.period(); next != period {
			period = next
			ticker.Reset(period)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// once runs the probe and returns at the timeout at the latest, even if the probe does not end.
func (t *task) once(ctx context.Context) error {
	if t.hung != nil {
		select {
		case <-t.hung: // its result is too old to count
			t.hung = nil
		default:
			return errHangs
		}
	}
	ctx, cancel := context.WithTimeout(ctx, t.check.Timeout)
	defer cancel()
	var err error // read after done is closed
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

// outcome replaces the probe's error by a clear one if the timeout ended it.
func (t *task) outcome(ctx context.Context, err error) error {
	switch {
	case err == nil || !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return err
	case t.check.Type == config.CheckCommand:
		return fmt.Errorf("did not end within %v and was killed", t.check.Timeout)
	}
	return fmt.Errorf("no answer within %v", t.check.Timeout)
}

// record counts one result, unless the check was removed in the meantime.
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
	}
	agrees := t.verdict.state == Passing && err == nil || t.verdict.state == Failing && err != nil
	if changed || agrees && !t.result.Confirmed {
		t.result.Confirmed = t.result.Confirmed || agrees
		t.r.notify()
	}
	result := t.result
	t.r.mu.Unlock()
	switch {
	case !changed:
	case result.State == Failing:
		t.r.opts.Log.Warn("check fails", "check", result.Name, "reason", result.Reason, "demotion", result.Demotion)
	default:
		t.r.opts.Log.Info("check passes", "check", result.Name)
	}
}

// oneLine returns the text as one printable line without control characters, cut to limit bytes.
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

// hysteresis turns single results into a verdict: rise good or fall bad results in a row change it.
type hysteresis struct {
	rise, fall int
	state      State
	good, bad  int // results in a row
}

// add counts one result and reports whether the verdict changed.
func (h *hysteresis) add(ok bool) bool {
	next := h.state
	if ok {
		h.good, h.bad = h.good+1, 0
		if h.good >= h.rise {
			next = Passing
		}
	} else {
		h.good, h.bad = 0, h.bad+1
		if h.bad >= h.fall {
			next = Failing
		}
	}
	changed := next != h.state
	h.state = next
	return changed
}

// Subject identifies what a check examines and how, independent of its interval, rise, fall and
// demotion. It is a digest, since arguments of commands may be secret.
func Subject(c config.Check) string {
	var text []byte
	parts := append([]string{c.Type, c.Target, c.Interface}, c.Command...)
	if c.Type == config.CheckHTTP {
		parts = append(parts, c.HTTP.StatusText(), c.HTTP.CAFile, strconv.FormatBool(c.HTTP.Insecure))
	}
	for _, part := range parts {
		text = strconv.AppendQuote(text, part)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Patience returns how long to wait for the first verdict of a check: the time of the runs that
// it needs, each with its timeout and the pause after it, at most two minutes. A check that hangs or
// alternates may have no verdict by then.
func Patience(c config.Check) time.Duration {
	runs := time.Duration(max(c.Rise, c.Fall))
	return min(runs*(c.Timeout+grace+min(c.Interval, firstInterval)), maxPatience)
}

// restore takes over the verdict of an earlier process on the same subject.
func (t *task) restore(v Verdict) {
	if v.Subject != t.result.Subject || v.State != Passing && v.State != Failing {
		return
	}
	t.verdict.state = v.State
	t.result.State, t.result.Reason, t.result.Since = v.State, oneLine(v.Reason, maxReason), v.Since
}

// period returns the time between two runs: short until there is a verdict.
func (t *task) period() time.Duration {
	if t.verdict.state == Unknown {
		return min(t.check.Interval, firstInterval)
	}
	return t.check.Interval
}
