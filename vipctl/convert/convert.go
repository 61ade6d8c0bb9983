// SPDX-License-Identifier: Apache-2.0

// Package convert converts the configuration of ucarp and keepalived to vipd's. It is pure: it maps
// text to text.
package convert

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Options of a conversion.
type Options struct {
	// KeyDir is the directory for password_file; empty means /etc/vipd.
	KeyDir string
	// Include returns the files of an include statement, in order, for a pattern that may be
	// relative to the including file; nil ignores includes.
	Include func(from, pattern string) ([]File, error)
}

// File is a text and its name for notes.
type File struct {
	Name string
	Data []byte
}

// Note is a setting without an equivalent, or one that needs a decision.
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
	// Path is the password_file, Password its content.
	Path, Password string
}

// Result is a finished conversion.
type Result struct {
	// TOML is a config that vipd accepts once the password files exist.
	TOML string
	// Notes are in the order of the input. TOML has them as comments, too.
	Notes []Note
	// Keys are the passwords in clear text in the input. TOML does not contain them.
	Keys []Key
}

// Error is all problems of an input.
type Error struct {
	// Problems are in the order of the input.
	Problems []Note
}

// Error is one line per problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// origin is a position in the input.
type origin struct {
	file string
	line int
}

func (o origin) compare(p origin) int {
	return cmp.Or(cmp.Compare(o.file, p.file), cmp.Compare(o.line, p.line))
}

// reader collects the problems, notes and keys of a conversion.
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

// sortNotes sorts the notes by their position in the input.
func (r *reader) sortNotes() {
	slices.SortStableFunc(r.notes, func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}

// clean returns one printable line, for comments and terminals.
func clean(s string) string {
	return strings.Map(func(c rune) rune {
		if !printable(c) {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
}

// finish checks the settings as a whole and renders them.
func (r *reader) finish(from string, s *settings) (*Result, error) {
	if len(s.groups) == 0 && len(r.problems) == 0 {
		r.problem(origin{file: from}, "there is no virtual address in it")
	}
	s.checkTogether(r)
	if len(r.problems) > 0 {
		return nil, &Error{r.problems}
	}
	r.sortNotes()
	return &Result{TOML: s.render(r), Notes: r.notes, Keys: r.keys}, nil
}
