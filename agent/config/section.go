// SPDX-License-Identifier: Apache-2.0

package config

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// section reads the keys of one table. A key of the wrong type is a problem and counts as
// absent; a key that is never read is unknown.
type section struct {
	r     *report
	title string // [carp] or [[vip]], for messages
	n     *node
	known []string
	bad   map[string]bool
}

func newSection(r *report, title string, n *node) *section {
	return &section{r: r, title: title, n: n, bad: map[string]bool{}}
}

// get returns nil if the key is absent.
func (s *section) get(key string) *node {
	s.known = append(s.known, key)
	return s.n.fields[key]
}

// tried reports whether the key is set, rightly or wrongly.
func (s *section) tried(key string) bool { return s.n.fields[key] != nil }

// line is the line of the key, or of the table if the key is absent.
func (s *section) line(key string) int {
	if v := s.n.fields[key]; v != nil {
		return v.line
	}
	return s.n.line
}

// problem reports a fault at the line of the key.
func (s *section) problem(key, format string, args ...any) {
	s.r.problem(s.line(key), key, format, args...)
}

// renamed reports a key that has another name now.
func (s *section) renamed(old, key string) {
	if s.tried(old) {
		s.bad[old] = true
		s.problem(old, "is called %s now; rename it", key)
	}
}

func (s *section) warn(key, format string, args ...any) {
	s.r.warn(s.line(key), key, format, args...)
}

func (s *section) wrong(key string, v *node, want string) {
	s.bad[key] = true
	s.problem(key, "must be %s, not %s", want, v.kind)
}

func (s *section) str(key string, dst *string) bool {
	v := s.get(key)
	if v == nil {
		return false
	}
	if v.kind != kindString {
		s.wrong(key, v, "a string in quotes")
		return false
	}
	*dst = v.str
	return true
}

func (s *section) boolean(key string, dst *bool) {
	v := s.get(key)
	if v == nil {
		return
	}
	if v.kind != kindBool {
		s.wrong(key, v, "true or false")
		return
	}
	*dst = v.yes
}

// integer reads a number in lo..hi.
func (s *section) integer(key string, lo, hi int, dst *int) bool {
	v := s.get(key)
	if v == nil {
		return false
	}
	if v.kind != kindInteger {
		s.wrong(key, v, "an integer "+rangeText(lo, hi))
		return false
	}
	if v.over || v.num < int64(lo) || v.num > int64(hi) {
		s.bad[key] = true
		s.problem(key, "%s is out of range, allowed is %s", v.raw, rangeText(lo, hi))
		return false
	}
	*dst = int(v.num)
	return true
}

// octet is [section.integer] for one byte.
func (s *section) octet(key string, lo, hi int, dst *uint8) bool {
	n := int(*dst)
	ok := s.integer(key, lo, hi, &n)
	if ok {
		*dst = uint8(n) // lo and hi are within 0..255
	}
	return ok
}

func (s *section) float(key string, lo, hi float64, dst *float64) {
	v := s.get(key)
	if v == nil {
		return
	}
	if v.kind != kindFloat && v.kind != kindInteger {
		s.wrong(key, v, "a number")
		return
	}
	if v.over || !(v.flt >= lo) || !(v.flt <= hi) { // refuses NaN, too
		s.problem(key, "%s is out of range, allowed is %v to %v", v.raw, lo, hi)
		return
	}
	*dst = v.flt
}

// oneOf reads one of the allowed words.
func (s *section) oneOf(key string, dst *string, allowed ...string) bool {
	var word string
	if !s.str(key, &word) {
		return false
	}
	if !slices.Contains(allowed, word) {
		s.bad[key] = true
		s.problem(key, "%q is unknown, allowed are %s", word, quotedList(allowed))
		return false
	}
	*dst = word
	return true
}

// quotedList formats words as "a", "b" and "c".
func quotedList(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	last := len(quoted) - 1
	if last < 1 {
		return strings.Join(quoted, "")
	}
	return strings.Join(quoted[:last], ", ") + " and " + quoted[last]
}

// duration reads a string such as "1s" in lo..hi.
func (s *section) duration(key string, lo, hi time.Duration, dst *time.Duration) bool {
	v := s.get(key)
	if v == nil {
		return false
	}
	if v.kind != kindString {
		s.wrong(key, v, "a duration in quotes, such as \"1s\" or \"500ms\"")
		return false
	}
	d, err := time.ParseDuration(v.str)
	if err != nil || d < lo || d > hi {
		why := "is out of range"
		if err != nil {
			why = "is not a duration"
		}
		s.bad[key] = true
		s.problem(key, "%q %s, allowed is \"%s\" to \"%s\"", v.str, why, durationText(lo), durationText(hi))
		return false
	}
	*dst = d
	return true
}

// durationText formats an hour as 1h, not 1h0m0s.
func durationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// item is one element of an array of strings.
type item struct {
	text string
	line int
}

func (s *section) list(key, of string) []item {
	v := s.get(key)
	if v == nil {
		return nil
	}
	if v.kind != kindArray {
		s.wrong(key, v, "an array of "+of)
		return nil
	}
	var items []item
	for _, e := range v.items {
		if e.kind != kindString {
			s.bad[key] = true
			s.r.problem(e.line, key, "must be an array of %s, but an element is %s", of, e.kind)
			continue
		}
		items = append(items, item{e.str, e.line})
	}
	return items
}

// table opens an inner table; nil if it is absent.
func (s *section) table(key string) *section {
	v := s.get(key)
	if v == nil {
		return nil
	}
	if v.kind != kindTable {
		s.wrong(key, v, "a table, written ["+key+"]")
		return nil
	}
	return newSection(s.r, "["+key+"]", v)
}

// tables opens an array of tables.
func (s *section) tables(key string) []*section {
	v := s.get(key)
	if v == nil {
		return nil
	}
	path := key
	if s.title != "" {
		path = strings.Trim(s.title, "[]") + "." + key
	}
	title := "[[" + path + "]]"
	if v.kind != kindTables && v.kind != kindArray {
		s.wrong(key, v, "an array of tables, each written "+title)
		return nil
	}
	var out []*section
	for _, e := range v.items {
		if e.kind != kindTable {
			s.r.problem(e.line, key, "must be an array of tables, each written %s, but an element is %s", title, e.kind)
			continue
		}
		out = append(out, newSection(s.r, title, e))
	}
	return out
}

// done reports the keys that were never read.
func (s *section) done() {
	for _, key := range s.n.keys {
		if slices.Contains(s.known, key) || s.bad[key] {
			continue
		}
		where := "in " + s.title
		if s.title == "" {
			where = "at the top"
		}
		hint := ""
		if near := nearest(key, s.known); near != "" {
			hint = "did you mean " + near + "? "
		}
		s.problem(key, "unknown key %s; %sallowed are %s", where, hint, strings.Join(s.known, ", "))
	}
}

func rangeText(lo, hi int) string { return strconv.Itoa(lo) + ".." + strconv.Itoa(hi) }

func parseFloat(raw string) float64 {
	f, err := strconv.ParseFloat(strings.ReplaceAll(raw, "_", ""), 64)
	if err != nil {
		return math.NaN()
	}
	return f
}

// nearest returns the closest word within two edits, or "" if none is similar enough.
func nearest(word string, words []string) string {
	best, bestAt := "", 3
	for _, w := range words {
		if d := edits(word, w); d < bestAt && 2*d <= len(w) && d < len(word)-1 {
			best, bestAt = w, d
		}
	}
	return best
}

// edits is the Levenshtein distance. Long words, and words of different length, count as far
// apart.
func edits(a, b string) int {
	if len(a) > 64 || len(a)-len(b) > 2 || len(b)-len(a) > 2 {
		return math.MaxInt
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
