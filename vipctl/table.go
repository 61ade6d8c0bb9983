// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"strings"
	"unicode/utf8"
)

// Terminal colours (SGR).
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
)

// paint colours text where the output is coloured.
func (p *program) paint(colour, text string) string {
	if !p.colour || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// unpaint removes the colours.
func unpaint(s string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		_, s, _ = strings.Cut(rest, "m")
	}
}

// table aligns columns by the visible width of the cells. Unlike the standard tabwriter it does
// not count the bytes of colours.
type table struct{ rows [][]string }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// width is the length of the longest line.
func (t *table) width() int {
	longest := 0
	for line := range strings.Lines(unpaint(t.String())) {
		longest = max(longest, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")))
	}
	return longest
}

// String puts two blanks between columns and none at the ends of lines.
func (t *table) String() string {
	width := func(cell string) int { return utf8.RuneCountInString(unpaint(cell)) }
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], width(cell))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		pad := 0
		for i, cell := range row {
			if cell != "" {
				b.WriteString(strings.Repeat(" ", pad) + cell)
				pad = 0
			}
			pad += widths[i] - width(cell) + 2
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
