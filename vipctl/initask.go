// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// asker asks on a terminal; the questions go to stderr, so that stdout can be kept.
type asker struct {
	p        *program
	terminal bool
	lines    *bufio.Reader
}

func (p *program) newAsker() *asker {
	a := &asker{p: p, terminal: p.env.Terminal}
	if f, ok := p.env.Stdin.(*os.File); ok && !a.terminal {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		a.terminal = err == nil
	}
	if p.env.Stdin == nil {
		a.terminal = false
		return a
	}
	a.lines = bufio.NewReader(p.env.Stdin)
	return a
}

// line asks until the answer is not empty; an empty one is the default.
func (a *asker) line(ctx context.Context, question, byDefault string) (string, error) {
	for {
		text := question
		if byDefault != "" {
			text += " [" + byDefault + "]"
		}
		fmt.Fprint(a.p.env.Stderr, text+": ")
		answer, err := a.read(ctx)
		if err != nil {
			return "", err
		}
		if answer == "" {
			answer = byDefault
		}
		if answer != "" {
			return answer, nil
		}
	}
}

// read returns the next line without blanks at its ends.
func (a *asker) read(ctx context.Context) (string, error) {
	type result struct {
		line string
		err  error
	}
	done := make(chan result, 1) // the goroutine outlives Ctrl-C, and the process ends then
	go func() {
		line, err := a.lines.ReadString('\n')
		done <- result{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", context.Canceled
	case r := <-done:
		if r.err != nil && (!errors.Is(r.err, io.EOF) || r.line == "") {
			return "", fmt.Errorf("no answer: %w; nothing was written", r.err)
		}
		return strings.TrimSpace(r.line), nil
	}
}

func (a *asker) yes(ctx context.Context, question string) (bool, error) {
	answer, err := a.line(ctx, question+" (yes or no)", "yes")
	return err == nil && slices.Contains([]string{"y", "yes"}, strings.ToLower(answer)), err
}

type option struct{ word, text string }

// choice asks for one of the options, by its word or number.
func (a *asker) choice(ctx context.Context, question string, options []option) (string, error) {
	var t table
	for i, o := range options {
		t.add("  "+strconv.Itoa(i+1), o.word, o.text)
	}
	for {
		fmt.Fprintf(a.p.env.Stderr, "%s\n%s", question, t.String())
		answer, err := a.line(ctx, "Which", "1")
		if err != nil {
			return "", err
		}
		for i, o := range options {
			if answer == o.word || answer == strconv.Itoa(i+1) {
				return o.word, nil
			}
		}
	}
}
