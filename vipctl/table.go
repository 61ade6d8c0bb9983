// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Colours of the terminal, by their standard numbers.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
)

// cell is text with the colour it has on a terminal.
type cell struct {
	text, colour string
}

func plain(s string) cell { return cell{text: s} }

// table lays out columns by the width of the text; the standard tabwriter would count
// the bytes of colours as well.
type table struct {
	rows [][]cell
}

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

// String draws the table, two blanks between columns and none at the ends of lines.
func (t *table) String(colour bool) string {
	var widths []int
	for _, row := range t.rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		pad := 0
		for i, c := range row {
			if c.text != "" {
				b.WriteString(strings.Repeat(" ", pad))
				b.WriteString(paint(c, colour))
				pad = 0
			}
			pad += widths[i] - utf8.RuneCountInString(c.text) + 2
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func paint(c cell, colour bool) string {
	if !colour || c.colour == "" {
		return c.text
	}
	return "\x1b[" + c.colour + "m" + c.text + "\x1b[0m"
}

// age is a duration in at most two units.
func age(d time.Duration) string {
	switch {
	case d < 0:
		return "0.0s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// ago is how long ago something was, or "never".
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return age(now.Sub(t)) + " ago"
}

// stamp is a time in the reader's zone.
func stamp(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(now.Location()).Format("2006-01-02 15:04:05")
}
