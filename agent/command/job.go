// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode"
)

// MaxOutput is how much of a program's output is kept. The rest is read and discarded, so that the
// program does not block.
const MaxOutput = 4 << 10

// Kind is the purpose of a program.
type Kind string

// Kinds of a [Job].
const (
	Check Kind = "check"
	Hook  Kind = "hook"
)

// Job is one run of a program that the config names.
type Job struct {
	Kind Kind `json:"kind"`
	// Name is the name of the check, or of the group whose hook it is.
	Name string `json:"name"`
	// Argv is the program and its arguments from the config; Args are further arguments.
	Argv []string `json:"argv"`
	Args []string `json:"args,omitempty"`
	// Env is NAME=value in addition to PATH, HOME and LC_ALL.
	Env []string `json:"env,omitempty"`
	// Tail keeps the end of the output instead of its beginning.
	Tail bool `json:"tail,omitempty"`
}

// Result is the result of a job.
type Result struct {
	// Output is at most [MaxOutput] bytes of stdout and stderr; Cut reports that there was more.
	Output []byte
	Cut    bool
	// Err is the error of [Run].
	Err error
}

// Text returns the output without control characters.
func (r Result) Text() string {
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if c == '\n' || c == '\t' || unicode.IsPrint(c) {
			return c
		}
		return ' '
	}, strings.ToValidUTF8(string(r.Output), "?")))
}

// Runner runs jobs. When ctx ends, it kills the processes of the job.
type Runner interface {
	Run(ctx context.Context, job Job) Result
}

// Local runs jobs as child processes.
type Local struct{}

// Run implements [Runner].
func (Local) Run(ctx context.Context, job Job) Result {
	out := capture{tail: job.Tail}
	err := Run(ctx, Spec{Argv: slices.Concat(job.Argv, job.Args), Env: job.Env, Output: &out})
	return Result{Output: out.b, Cut: out.cut, Err: err}
}

// capture keeps the beginning or the end of what is written to it. os/exec writes from one
// goroutine, which has ended when Run returns.
type capture struct {
	tail bool
	b    []byte
	cut  bool
}

// Write implements io.Writer and never fails.
func (c *capture) Write(p []byte) (int, error) {
	n := len(p)
	if !c.tail {
		keep := min(n, MaxOutput-len(c.b))
		c.b, c.cut = append(c.b, p[:keep]...), c.cut || keep < n
		return n, nil
	}
	if over := n - MaxOutput; over > 0 {
		p, c.cut = p[over:], true
	}
	if over := len(c.b) + len(p) - MaxOutput; over > 0 {
		c.b, c.cut = append(c.b[:0], c.b[over:]...), true
	}
	c.b = append(c.b, p...)
	return n, nil
}

// End is the result of a program in the values of the API.
type End struct {
	// Code is the exit status, if HasCode is true.
	Code    int
	HasCode bool
	// Signal is the signal that ended it; 0 if none.
	Signal     int
	NotStarted bool
	// Output is printable text.
	Output string
}

// End returns the result in the values of the API.
func (r Result) End() End {
	out := End{Output: r.Text()}
	if r.Err == nil {
		out.HasCode = true
	} else if exit, ok := errors.AsType[*ExitError](r.Err); ok {
		out.Code, out.HasCode, out.Signal = exit.Code, exit.Signal == 0, int(exit.Signal)
	} else if _, absent := errors.AsType[*NotStartedError](r.Err); absent {
		out.NotStarted = true
	}
	return out
}
