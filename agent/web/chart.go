// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// chart is a line chart of the last minutes, drawn as SVG by the template. It is comparable.
type chart struct {
	// Path and Area are SVG path data in a box of chartWidth by chartHeight; empty without samples.
	Path, Area string
	// Now and Peak include the unit; Quiet is true if all samples are 0.
	Now, Peak string
	Quiet     bool
	// Label describes the chart in words.
	Label string
}

// Size of a chart.
const (
	chartWidth  = 120
	chartHeight = 28
)

// draw returns a chart of rates per second, oldest first.
func draw(what string, samples []float32, unit func(float64) string) chart {
	if len(samples) == 0 {
		return chart{Now: "–", Quiet: true, Label: what + ": no samples yet"}
	}
	peak := float32(0)
	for _, v := range samples {
		peak = max(peak, v)
	}
	now := samples[len(samples)-1]
	c := chart{Now: unit(float64(now)), Peak: unit(float64(peak)), Quiet: peak == 0}
	c.Label = fmt.Sprintf("%s, last 5 minutes: now %s, highest %s", what, c.Now, c.Peak)
	if c.Quiet || len(samples) < 2 {
		return c
	}
	var b strings.Builder
	step := float64(chartWidth) / float64(points-1)
	x := float64(chartWidth) - step*float64(len(samples)-1)
	first := x
	for i, v := range samples {
		op := "L"
		if i == 0 {
			op = "M"
		}
		y := float64(chartHeight-2) - float64(v/peak)*float64(chartHeight-4)
		b.WriteString(op + tenths(x) + " " + tenths(y))
		x += step
	}
	c.Path = b.String()
	c.Area = fmt.Sprintf("%sL%d %dL%s %dZ", c.Path, chartWidth, chartHeight, tenths(first), chartHeight)
	return c
}

func tenths(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// perSecond returns a rate with at most three digits and an SI prefix.
func perSecond(v float64) string { return si(v) + "/s" }

func bitsPerSecond(bytes float64) string { return si(8*bytes) + "bit/s" }

func si(v float64) string {
	prefix := ""
	for _, p := range []string{" k", " M", " G", " T"} {
		if v < 999.5 {
			break
		}
		v, prefix = v/1000, p
	}
	if prefix == "" {
		prefix = " "
	}
	digits := 0
	if v < 9.95 && v != math.Trunc(v) {
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + prefix
}

// number returns a count whose digits are grouped by thin spaces.
func number(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}
