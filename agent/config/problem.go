// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Problem is one fault of a config, or one warning about it.
type Problem struct {
	// File is the path as it was given, or "command line".
	File string
	// Line counts from 1; 0 means the file as a whole, or the command line.
	Line int
	// Key is as written in the file; empty for a fault of syntax or of the file.
	Key string
	// Message says what is wrong and what is allowed.
	Message string
}

// String is FILE:LINE: key: message, without the parts that there are not.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(p.Line))
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key)
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Error is all problems of a refused config, in the order of their lines.
type Error struct {
	Problems []Problem
}

// Error is one line a problem.
func (e *Error) Error() string { return strings.Join(e.Strings(), "\n") }

// Strings are the problems as text.
func (e *Error) Strings() []string { return Strings(e.Problems) }

// Strings returns problems or warnings as text, for logs and answers.
func Strings(ps []Problem) []string {
	out := make([]string, len(ps))
	for i, p := range ps {
		out[i] = p.String()
	}
	return out
}

// report collects what is found in one file.
type report struct {
	file     string
	rename   map[string]string // what the keys are called here, if not as in the file
	problems []Problem
	warnings []Problem
}

func (r *report) problem(line int, key, format string, args ...any) {
	r.problems = append(r.problems, r.entry(line, key, format, args))
}

func (r *report) warn(line int, key, format string, args ...any) {
	r.warnings = append(r.warnings, r.entry(line, key, format, args))
}

func (r *report) entry(line int, key, format string, args []any) Problem {
	if name, ok := r.rename[key]; ok {
		key = name
	}
	return Problem{r.file, line, printable(key), printable(fmt.Sprintf(format, args...))}
}

// printable keeps a problem on its one line, and what a file says from being an order
// to the terminal.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return unicode.ReplacementChar
	}, s)
}

// result sorts by line, stable, so that the output reads like the file.
func (r *report) result() (warnings []Problem, err error) {
	byLine := func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) }
	slices.SortStableFunc(r.warnings, byLine)
	if len(r.problems) == 0 {
		return r.warnings, nil
	}
	slices.SortStableFunc(r.problems, byLine)
	return r.warnings, &Error{Problems: slices.Compact(r.problems)}
}
