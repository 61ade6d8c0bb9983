// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
	"unicode"

	"vipd/agent/command"
)

// Outcome is how a run ended. The words are API.
type Outcome string

// Outcomes of a [Result].
const (
	OK          Outcome = "ok"          // ended with status 0
	Failed      Outcome = "failed"      // ended with another status, or by a signal
	TimedOut    Outcome = "timeout"     // was killed at its timeout
	NotStarted  Outcome = "not_started" // there is no such program, or it is not executable
	Interrupted Outcome = "interrupted" // vipd ended before the hook did
	Skipped     Outcome = "skipped"     // part of a later run, because the hook was too slow
)

// Outcomes lists those that a run of the program can have.
func Outcomes() []Outcome { return []Outcome{OK, Failed, TimedOut, NotStarted, Interrupted} }

// Result is how one transition was told.
type Result struct {
	Transition
	// Hook is the path of the executable.
	Hook    string
	Outcome Outcome
	// ExitCode is the program's status; -1 when it has none.
	ExitCode int
	// Started is zero when it was not.
	Started time.Time
	Took    time.Duration
	// Ended is when it was over, for whatever reason.
	Ended time.Time
	// Output is the last [MaxOutput] bytes of what it wrote to both its outputs, as
	// printable text; Cut says that there was more.
	Output string
	Cut    bool
	// Fault says in words why the outcome is not ok; empty when it is.
	Fault string
	// Skipped is how many earlier transitions this run told of as well.
	Skipped int
}

// MaxOutput is how much of a run's output is kept.
const MaxOutput = 4 << 10

// execute runs the hook once.
func execute(ctx context.Context, h Hook, t Transition, skipped int) Result {
	res := Result{Started: time.Now(), ExitCode: -1}
	limited, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	var out tail
	err := command.Run(limited, command.Spec{
		Argv: []string{h.Path, t.Group, t.From, t.To},
		Env: []string{
			"VIPD_GROUP=" + t.Group, "VIPD_FROM=" + t.From, "VIPD_TO=" + t.To, "VIPD_REASON=" + t.Reason,
			"VIPD_ADDRESSES=" + strings.Join(t.Addresses, " "),
			"VIPD_GENERATION=" + strconv.FormatUint(t.Generation, 10),
			"VIPD_SKIPPED=" + strconv.Itoa(skipped),
		},
		Output: &out,
	})
	res.Took = time.Since(res.Started)
	res.Output, res.Cut = out.text()
	exit, ended := errors.AsType[*exec.ExitError](err)
	_, absent := errors.AsType[*command.NotStartedError](err)
	switch {
	case err == nil:
		res.Outcome, res.ExitCode = OK, 0
	case absent:
		res.Outcome, res.Fault = NotStarted, err.Error()
		res.Started, res.Took = time.Time{}, 0
	case ended && exit.ExitCode() >= 0:
		res.Outcome, res.ExitCode, res.Fault = Failed, exit.ExitCode(), exit.String()
	case ctx.Err() != nil:
		res.Outcome, res.Fault = Interrupted, "vipd ended and killed it"
	case limited.Err() != nil:
		res.Outcome, res.Fault = TimedOut, fmt.Sprintf("did not end within %v and was killed", h.Timeout)
	default:
		res.Outcome, res.Fault = Failed, err.Error()
	}
	return res
}

// tail keeps the end of what is written to it: that is where a script that fails says
// why. os/exec writes from one goroutine, which has ended when Run returns.
type tail struct {
	b   []byte
	cut bool
}

// Write implements io.Writer and never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if over := len(t.b) - MaxOutput; over > 0 {
		t.b, t.cut = append(t.b[:0], t.b[over:]...), true
	}
	return len(p), nil
}

// text is no order to a terminal.
func (t *tail) text() (text string, cut bool) {
	text = strings.Map(func(c rune) rune {
		if c == '\n' || c == '\t' || unicode.IsPrint(c) {
			return c
		}
		return ' '
	}, strings.ToValidUTF8(string(t.b), "?"))
	return strings.TrimSpace(text), t.cut
}
