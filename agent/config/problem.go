// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem is one fault in a config, or one warning.
type Problem struct {
	// File is the path as given, or "command line".
	File string
	// Line counts from 1; 0 means the file as a whole, or the command line.
	Line int
	// Key is as in the file; empty for a syntax error or a fault of the file.
	Key string
	// Message is what is wrong and what is allowed.
	Message string
}

// String is FILE:LINE: key: message, without the parts that are empty.
func (p Problem) String() string {
	text := p.File
	if p.Line > 0 {
		text += ":" + strconv.Itoa(p.Line)
	}
	if p.Key != "" {
		text += ": " + p.Key
	}
	return text + ": " + p.Message
}

// Error is all problems of a refused config, sorted by line.
type Error struct {
	Problems []Problem
}

// Error is one line per problem.
func (e *Error) Error() string { return strings.Join(e.Strings(), "\n") }

// Strings returns the problems as text.
func (e *Error) Strings() []string { return Strings(e.Problems) }

// Strings returns problems or warnings as text, for logs and answers.
func Strings(ps []Problem) []string {
	out := make([]string, len(ps))
	for i, p := range ps {
		out[i] = p.String()
	}
	return out
}

// report collects the problems of one file.
type report struct {
	file     string
	rename   map[string]string // names of keys that are not read from a file
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

// printable escapes characters that cannot be printed: a problem is one line, and a file must not
// send commands to the terminal.
func printable(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		c, size := utf8.DecodeRuneInString(s)
		switch {
		case c == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case unicode.IsPrint(c):
			b.WriteRune(c)
		default:
			quoted := strconv.QuoteRune(c)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[size:]
	}
	return b.String()
}

// result sorts the problems by line.
func (r *report) result() (warnings []Problem, err error) {
	byLine := func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) }
	slices.SortStableFunc(r.warnings, byLine)
	if len(r.problems) == 0 {
		return r.warnings, nil
	}
	slices.SortStableFunc(r.problems, byLine)
	return r.warnings, &Error{Problems: slices.Compact(r.problems)}
}
