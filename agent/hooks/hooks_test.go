// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// told collects the reported results.
type told struct {
	mu      sync.Mutex
	results []Result
}

func (o *told) report(r Result) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.results = append(o.results, r)
}

func (o *told) all() []Result {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.results)
}

// lasting is a hook that takes a given time and ends with its context.
func lasting(
	d time.Duration,
	note func(t Transition, skipped int),
) func(context.Context, Hook, Transition, int) Result {
	return func(ctx context.Context, _ Hook, t Transition, skipped int) Result {
		note(t, skipped)
		select {
		case <-time.After(d):
			return Result{Outcome: OK}
		case <-ctx.Done():
			return Result{Outcome: Interrupted}
		}
	}
}

var hook = Hook{Path: "/hook", Timeout: time.Minute}

// Submit does not wait; hooks of one group run in order one after the other, in parallel with those
// of other groups.
func TestHooksOfAGroupRunOneAtATimeInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var at []string
		start := time.Now()
		var out told
		r := New(Options{Report: out.report, run: lasting(time.Second, func(tr Transition, _ int) {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Since(start).String()+" "+tr.Group+" "+tr.To)
		})})
		r.Submit(hook, Transition{ID: 1, Group: "a", From: "INIT", To: "BACKUP"})
		r.Submit(hook, Transition{ID: 2, Group: "a", From: "BACKUP", To: "MASTER"})
		time.Sleep(time.Millisecond)
		r.Submit(hook, Transition{ID: 3, Group: "b", From: "INIT", To: "BACKUP"})
		if took := time.Since(start); took != time.Millisecond {
			t.Errorf("submitting took %v", took)
		}
		synctest.Wait()
		if w := r.Waiting(); w["a"] != 1 || w["b"] != 0 {
			t.Errorf("waiting: %v", w)
		}
		r.Close(time.Hour)
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("Close took until %v, want 2s", took)
		}
		if want := []string{"0s a BACKUP", "1ms b BACKUP", "1s a MASTER"}; !slices.Equal(at, want) {
			t.Errorf("ran %v, want %v", at, want)
		}
		for _, res := range out.all() {
			if res.Outcome != OK || res.Hook != hook.Path {
				t.Errorf("%+v", res)
			}
		}
	})
}

// A slow hook gets a sequence of states without a gap from the first to the last, never falls behind
// by more than MaxWaiting transitions, and each transition is reported once.
func TestSlowHookGetsTransitionsWithoutGap(t *testing.T) {
	t.Parallel()
	states := []string{"INIT", "BACKUP", "MASTER"}
	rapid.Check(t, func(t *rapid.T) {
		var out told
		var ran []Transition
		gate := make(chan struct{})
		r := New(Options{Report: out.report, run: func(_ context.Context, _ Hook, tr Transition, _ int) Result {
			ran = append(ran, tr)
			<-gate
			return Result{Outcome: OK}
		}})
		at, n := "INIT", uint64(0)
		for _, step := range rapid.SliceOfN(rapid.IntRange(0, 9), 1, 120).Draw(t, "steps") {
			if step == 0 {
				select {
				case gate <- struct{}{}:
				case <-time.After(time.Millisecond): // nothing runs
				}
				continue
			}
			n++
			next := rapid.SampledFrom(states).Filter(func(s string) bool { return s != at }).Draw(t, "state")
			r.Submit(hook, Transition{ID: n, Group: "a", From: at, To: next})
			at = next
			if w := r.Waiting()["a"]; w > MaxWaiting {
				t.Fatalf("%d wait", w)
			}
		}
		close(gate)
		r.Close(time.Minute)
		last := "INIT"
		for _, tr := range ran {
			if tr.From != last || tr.To == last {
				t.Fatalf("told %s -> %s while in %s", tr.From, tr.To, last)
			}
			last = tr.To
		}
		if last != at {
			t.Fatalf("told of %s at last, the group is %s", last, at)
		}
		var ids []uint64
		skipped := 0
		for _, res := range out.all() {
			ids = append(ids, res.ID)
			skipped += res.Skipped
		}
		slices.Sort(ids)
		if len(ids) != int(n) || len(slices.Compact(ids)) != int(n) || len(ran)+skipped != int(n) {
			t.Fatalf("%d transitions: %d ran, %d skipped, reported %v", n, len(ran), skipped, ids)
		}
	})
}

// When a link failure changes many groups, at most maxRunning hooks run at once.
func TestHooksRunningAtOnceAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, most := 0, 0
		var out told
		r := New(Options{Report: out.report, run: func(context.Context, Hook, Transition, int) Result {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			return Result{Outcome: OK}
		}})
		for i := range 4 * maxRunning {
			r.Submit(hook, Transition{ID: uint64(i), Group: strings.Repeat("g", i+1), From: "INIT", To: "BACKUP"})
		}
		r.Close(time.Hour)
		if most != maxRunning || len(out.all()) != 4*maxRunning {
			t.Errorf("%d at once, %d results", most, len(out.all()))
		}
	})
}

// Close takes a limited time: running hooks are killed and waiting ones are reported.
func TestCloseKillsHooksAndReportsAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out told
		r := New(Options{Report: out.report, run: lasting(time.Hour, func(Transition, int) {})})
		for i := range 3 {
			r.Submit(hook, Transition{ID: uint64(i), Group: "a"})
		}
		start := time.Now()
		r.Close(2 * time.Second)
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
		r.Submit(hook, Transition{ID: 3, Group: "a"})
		results := out.all()
		if len(results) != 4 {
			t.Fatalf("%+v", results)
		}
		for i, res := range results {
			if res.Outcome != Interrupted || res.ID != uint64(i) {
				t.Errorf("%d: %+v", i, res)
			}
		}
	})
}
