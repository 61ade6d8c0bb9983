// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"fmt"
	"time"
)

const (
	toSeconds = "2006-01-02 15:04:05"
	toMillis  = "2006-01-02 15:04:05.000"
)

// age formats a duration in at most two units.
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

// ago formats the time since t, or "never".
func (p *program) ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return age(p.env.Now().Sub(t)) + " ago"
}

// clock formats t in the reader's time zone, or "-".
func (p *program) clock(t time.Time, layout string) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(p.env.Now().Location()).Format(layout)
}

// span formats seconds in milliseconds below one second.
func span(seconds float64) string {
	if seconds < 1 {
		return fmt.Sprintf("%.0f ms", seconds*1000)
	}
	return fmt.Sprintf("%.1f s", seconds)
}

// lagText is [span] for lags, most of which are far below a millisecond.
func lagText(seconds float64) string {
	switch {
	case seconds == 0: // nothing was due
		return "-"
	case seconds < 0.01:
		return fmt.Sprintf("%.1f ms", seconds*1000)
	default:
		return span(seconds)
	}
}
