// SPDX-License-Identifier: Apache-2.0

package election

import (
	"math"
	"time"
)

// Instant is a moment in nanoseconds on CLOCK_BOOTTIME, which goes on while the machine
// sleeps and is never set.
type Instant int64

// Never is later than every Instant of a running machine.
const Never Instant = math.MaxInt64

// Add is i moved by d, clamped to what an Instant can hold.
func (i Instant) Add(d time.Duration) Instant {
	s := i + Instant(d)
	switch {
	case d > 0 && s < i:
		return Never
	case d < 0 && s > i:
		return math.MinInt64
	}
	return s
}

// Sub is the time from j to i, clamped to what a Duration can hold.
func (i Instant) Sub(j Instant) time.Duration {
	d := i - j
	switch {
	case j < 0 && d < i:
		return math.MaxInt64
	case j > 0 && d > i:
		return math.MinInt64
	}
	return time.Duration(d)
}
