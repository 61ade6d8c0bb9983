// SPDX-License-Identifier: Apache-2.0

package checks

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"vipd/agent/command"
	"vipd/agent/config"
)

// ends is a command runner that returns a fixed result.
type ends struct{ res command.Result }

func (e ends) Run(ctx context.Context, job command.Job) command.Result {
	if job.Argv[0] == "/hangs" {
		<-ctx.Done()
		return command.Result{Err: &command.ExitError{Code: -1, Signal: 9}, Output: []byte("so far")}
	}
	return e.res
}

// RunOnce runs a check as its timer does and does not change the verdict.
func TestRunOnce(t *testing.T) {
	t.Parallel()
	failed := command.Result{Err: &command.ExitError{Code: 3}, Output: []byte("no backend\nat all\n"), Cut: true}
	r := New(Options{Commands: ends{failed}})
	defer r.Close()
	check := config.Check{
		Name:     "a",
		Type:     config.CheckCommand,
		Command:  []string{"/x"},
		Interval: time.Hour,
		Timeout:  time.Second,
		Rise:     1,
		Fall:     2,
		Demotion: 7,
	}
	hangs, link := check, check
	hangs.Name, hangs.Command, hangs.Timeout = "hangs", []string{"/hangs"}, 50*time.Millisecond
	link.Name, link.Type, link.Command, link.Target = "link", config.CheckInterface, nil, "none0"
	r.Reconcile([]config.Check{hangs, check, link})
	waitDetails := func(want int) []Detail {
		t.Helper()
		for range 500 {
			d := r.Details()
			if !slices.ContainsFunc(d, func(d Detail) bool { return d.Bad != want }) {
				return d
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("the first runs do not end: %+v", r.Details())
		return nil
	}
	before := waitDetails(1)
	for range 3 {
		once, err := r.RunOnce(t.Context(), "a")
		if err != nil || once.Command == nil || once.Reason != "command /x: exit status 3: no backend" || once.TimedOut ||
			!once.Command.Cut {
			t.Fatalf("%+v, %v", once, err)
		}
		once, err = r.RunOnce(t.Context(), "hangs")
		if err != nil || !once.TimedOut || once.Took < 50*time.Millisecond || once.Command == nil ||
			string(once.Command.Output) != "so far" {
			t.Fatalf("%+v, %v", once, err)
		}
		if once, err = r.RunOnce(t.Context(), "link"); err != nil || once.Reason == "" || once.Command != nil {
			t.Fatalf("%+v, %v", once, err)
		}
	}
	if _, err := r.RunOnce(t.Context(), "b"); !errors.Is(err, ErrNoCheck) {
		t.Errorf("an unknown check: %v", err)
	}
	after := r.Details()
	for i := range after {
		if after[i].State != Unknown || after[i].Bad != 1 || after[i].Good != 0 || !after[i].At.Equal(before[i].At) {
			t.Errorf("runs by hand were counted: %+v", after[i])
		}
	}
	if names := []string{after[0].Name, after[1].Name, after[2].Name}; !slices.IsSorted(names) {
		t.Errorf("%v", names)
	}
}

// The number of programs that run on request at once is limited.
func TestRunOnceIsBounded(t *testing.T) {
	t.Parallel()
	r := New(Options{Commands: ends{}})
	defer r.Close()
	r.Reconcile(
		[]config.Check{
			{
				Name:     "hangs",
				Type:     config.CheckCommand,
				Command:  []string{"/hangs"},
				Interval: time.Hour,
				Timeout:  time.Minute,
				Rise:     1,
				Fall:     1,
			},
		},
	)
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, maxOnce+1)
	for range maxOnce + 1 {
		go func() {
			_, err := r.RunOnce(ctx, "hangs")
			got <- err
		}()
	}
	if err := <-got; !errors.Is(err, ErrBusy) {
		t.Errorf("one too many: %v", err)
	}
	cancel()
	for range maxOnce {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
}
