// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"vipd/agent/command"
)

// Outcome is the outcome of a run. The words are API.
type Outcome string

// Outcomes of a [Result].
const (
	OK          Outcome = "ok"          // ended with status 0
	Failed      Outcome = "failed"      // ended with another status or by a signal
	TimedOut    Outcome = "timeout"     // killed at its timeout
	NotStarted  Outcome = "not_started" // the program does not exist or is not executable
	Interrupted Outcome = "interrupted" // vipd ended before the hook did
	Skipped     Outcome = "skipped"     // merged into a later run because the hook was too slow
)

// Result is the result of one transition's hook.
type Result struct {
	Transition
	// Hook is the path of the executable.
	Hook    string
	Outcome Outcome
	// ExitCode is the exit status; -1 if there is none.
	ExitCode int
	// Started is zero if the program was not started.
	Started time.Time
	Took    time.Duration
	// Ended is when the hook ended or was given up.
	Ended time.Time
	// Output is the last [MaxOutput] bytes of stdout and stderr as printable text; Cut reports that
	// there was more.
	Output string
	Cut    bool
	// Fault describes why the outcome is not ok; empty if it is.
	Fault string
	// Skipped is how many earlier transitions were merged into this one.
	Skipped int
}

// MaxOutput is how much of a run's output is kept.
const MaxOutput = command.MaxOutput

// execute runs the hook once.
func execute(ctx context.Context, commands command.Runner, h Hook, t Transition, skipped int) Result {
	res := Result{Started: time.Now(), ExitCode: -1}
	limited, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	ran := commands.Run(limited, command.Job{
		Kind: command.Hook, Name: t.Group, Argv: []string{h.Path}, Args: []string{t.Group, t.From, t.To},
		Env: []string{
			"VIPD_GROUP=" + t.Group, "VIPD_FROM=" + t.From, "VIPD_TO=" + t.To, "VIPD_REASON=" + t.Reason,
			"VIPD_ADDRESSES=" + strings.Join(t.Addresses, " "),
			"VIPD_GENERATION=" + strconv.FormatUint(t.Generation, 10),
			"VIPD_SKIPPED=" + strconv.Itoa(skipped),
		},
		Tail: true,
	})
	err := ran.Err
	res.Took = time.Since(res.Started)
	res.Output, res.Cut = ran.Text(), ran.Cut
	exit, ended := errors.AsType[*command.ExitError](err)
	_, absent := errors.AsType[*command.NotStartedError](err)
	switch {
	case err == nil:
		res.Outcome, res.ExitCode = OK, 0
	case absent:
		res.Outcome, res.Fault = NotStarted, err.Error()
		res.Started, res.Took = time.Time{}, 0
	case ended && exit.Code >= 0:
		res.Outcome, res.ExitCode, res.Fault = Failed, exit.Code, exit.Error()
	case ctx.Err() != nil:
		res.Outcome, res.Fault = Interrupted, "vipd stopped and killed it"
	case limited.Err() != nil:
		res.Outcome, res.Fault = TimedOut, fmt.Sprintf("did not end within %v and was killed", h.Timeout)
	default:
		res.Outcome, res.Fault = Failed, err.Error()
	}
	return res
}
