// SPDX-License-Identifier: Apache-2.0

// Package convert turns the configuration of other daemons that share an address into
// vipd's. It knows their formats and the text of ours, and touches nothing.
package convert

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Options of a conversion.
type Options struct {
	// KeyDir is where password_file points; empty means /etc/vipd.
	KeyDir string
	// Include returns the files of an include statement, in order, for a pattern that
	// may be relative to the file it stands in; nil refuses includes.
	Include func(from, pattern string) ([]File, error)
}

// File is a text with the name that notes call it.
type File struct {
	Name string
	Data []byte
}

// Note is something that has no equal, or that its reader must decide.
type Note struct {
	File string
	// Line counts from 1; 0 means the file as a whole.
	Line int
	Text string
}

// String is FILE:LINE: text.
func (n Note) String() string {
	if n.Line == 0 {
		return n.File + ": " + n.Text
	}
	return fmt.Sprintf("%s:%d: %s", n.File, n.Line, n.Text)
}

// Key is a password that a group needs in its password_file.
type Key struct {
	// Path is the password_file; Password is what belongs into it.
	Path, Password string
}

// Result is a finished conversion.
type Result struct {
	// TOML is a config that vipd accepts, once the password files are there.
	TOML string
	// Notes are in the order of the input; they stand in TOML as comments, too.
	Notes []Note
	// Keys are the passwords that the input had in clear. They are nowhere in TOML.
	Keys []Key
}

// Error is everything that is wrong with an input.
type Error struct {
	// Problems are in the order of the input.
	Problems []Note
}

// Error is one line a problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// origin is where something stands in the input.
type origin struct {
	file string
	line int
}

// reader collects what a conversion has to say.
type reader struct {
	opts     Options
	problems []Note
	notes    []Note
	keys     []Key
}

func newReader(opts Options) *reader {
	if opts.KeyDir == "" {
		opts.KeyDir = "/etc/vipd"
	}
	return &reader{opts: opts}
}

func (r *reader) problem(at origin, format string, args ...any) {
	r.problems = append(r.problems, Note{at.file, at.line, clean(fmt.Sprintf(format, args...))})
}

func (r *reader) note(at origin, format string, args ...any) {
	n := Note{at.file, at.line, clean(fmt.Sprintf(format, args...))}
	if !slices.Contains(r.notes, n) {
		r.notes = append(r.notes, n)
	}
}

// sortNotes puts them into the order of the input.
func (r *reader) sortNotes() {
	slices.SortStableFunc(r.notes, func(a, b Note) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) })
}

// clean makes one printable line of a text: it goes into comments and to terminals.
func clean(s string) string {
	return strings.Map(func(c rune) rune {
		if !printable(c) {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
}

// finish checks what only the whole shows, and writes.
func (r *reader) finish(from string, s *settings) (*Result, error) {
	if len(s.groups) == 0 && len(r.problems) == 0 {
		r.problem(origin{file: from}, "there is no virtual address in it")
	}
	s.checkTogether(r)
	if len(r.problems) > 0 {
		return nil, &Error{r.problems}
	}
	return &Result{TOML: s.render(r), Notes: r.notes, Keys: r.keys}, nil
}
