// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"vipd/tests/lab"
)

// stage narrates, and is to the lab what a *testing.T is in a test: it ends the play on a failure or on Ctrl-C and runs
// the clean-ups in any case.
type stage struct {
	ctx      context.Context
	bold     bool
	step     int
	cleanups []func()
	failed   bool
	problems []error
}

var _ lab.TB = (*stage)(nil)

// curtain is the panic that ends the play early.
type curtain struct{ err error }

func newStage(ctx context.Context) *stage {
	out, err := os.Stdout.Stat()
	terminal := err == nil && out.Mode()&os.ModeCharDevice != 0
	return &stage{ctx: ctx, bold: terminal && os.Getenv("NO_COLOR") == ""}
}

func (s *stage) run(play func()) (err error) {
	defer func() {
		for _, cleanup := range slices.Backward(s.cleanups) {
			cleanup()
		}
		err = errors.Join(append([]error{err}, s.problems...)...)
		if err == nil {
			s.show("\n  Nothing is left: no namespace, no BPF program, no process.\n")
		}
	}()
	defer func() {
		if r := recover(); r != nil {
			c, ours := r.(curtain)
			if !ours {
				panic(r) // a fault of the demo itself; the clean-ups still run
			}
			err = c.err
		}
	}()
	play()
	return nil
}

// say announces the next step.
func (s *stage) say(format string, args ...any) {
	s.check()
	s.step++
	text := fmt.Sprintf("%d. %s", s.step, fmt.Sprintf(format, args...))
	if s.bold {
		text = "\x1b[1m" + text + "\x1b[0m"
	}
	fmt.Printf("\n%s\n", text)
}

// show prints what there is to see.
func (s *stage) show(text string) { fmt.Println(text) }

// pause waits, unless the demo was interrupted.
func (s *stage) pause(d time.Duration) {
	select {
	case <-s.ctx.Done():
	case <-time.After(d):
	}
	s.check()
}

// check ends the play after Ctrl-C.
func (s *stage) check() {
	if s.ctx.Err() != nil {
		panic(curtain{errInterrupted})
	}
}

var errInterrupted = errors.New("interrupted; everything was removed")

// Context is done after Ctrl-C.
func (s *stage) Context() context.Context { return s.ctx }

// Helper is for tests.
func (s *stage) Helper() {}

// Name makes the lab's names vipd-demo-...
func (s *stage) Name() string { return "demo" }

// Cleanup adds a clean-up; the last added runs first.
func (s *stage) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

// Failed reports whether the play has failed.
func (s *stage) Failed() bool { return s.failed }

// Logf prints what the lab has to say.
func (s *stage) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// Errorf notes a failure and goes on.
func (s *stage) Errorf(format string, args ...any) {
	s.failed = true
	s.problems = append(s.problems, fmt.Errorf(format, args...))
}

// Fatalf ends the play.
func (s *stage) Fatalf(format string, args ...any) {
	s.check()
	s.failed = true
	panic(curtain{fmt.Errorf(format, args...)})
}

func indent(text string) string {
	return "     " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n     ")
}
