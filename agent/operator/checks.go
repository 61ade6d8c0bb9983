// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"errors"
	"strings"

	"vipd/agent/checks"
	"vipd/agent/control/api"
)

// Checks implements control.Backend.
func (o *Operator) Checks(context.Context) (api.Checks, error) {
	out := api.Checks{Checks: []api.Check{}}
	for _, d := range o.opts.Checks.Details() {
		subject := d.Check.Target
		if len(d.Check.Command) > 0 {
			subject = strings.Join(d.Check.Command, " ")
		}
		if d.Check.Interface != "" {
			subject += " on " + d.Check.Interface
		}
		out.Checks = append(out.Checks, api.Check{
			Name:            d.Name,
			Type:            d.Check.Type,
			Subject:         subject,
			State:           d.State.String(),
			Since:           d.Since.UTC(),
			LastRun:         d.At.UTC(),
			Reason:          d.Reason,
			Successes:       d.Good,
			Failures:        d.Bad,
			Rise:            d.Check.Rise,
			Fall:            d.Check.Fall,
			Demotion:        d.Demotion,
			IntervalSeconds: d.Check.Interval.Seconds(),
			TimeoutSeconds:  d.Check.Timeout.Seconds(),
		})
	}
	return out, nil
}

// RunCheck implements control.Backend. It never enters the loop: no verdict changes.
func (o *Operator) RunCheck(ctx context.Context, name string) (api.CheckRun, error) {
	once, err := o.opts.Checks.RunOnce(ctx, name)
	switch {
	case errors.Is(err, checks.ErrNoCheck):
		return api.CheckRun{}, api.Errorf(api.CodeNotFound, "there is no check %q; `vipctl check list` lists them", name)
	case errors.Is(err, checks.ErrBusy):
		return api.CheckRun{}, api.Errorf(api.CodeBusy, "%v; wait until they have ended", err)
	case err != nil:
		return api.CheckRun{}, err
	}
	out := api.CheckRun{
		Name: name, Type: once.Check.Type, Passed: once.Reason == "", Reason: once.Reason,
		TimedOut: once.TimedOut, DurationSeconds: once.Took.Seconds(),
	}
	if once.Command != nil {
		end := once.Command.End()
		out.Output, out.Truncated, out.NotStarted, out.Signal = end.Output, once.Command.Cut, end.NotStarted, end.Signal
		if end.HasCode {
			out.ExitCode = &end.Code
		}
	}
	return out, nil
}
