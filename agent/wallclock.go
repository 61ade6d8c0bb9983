// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"sync/atomic"
	"time"

	"vipd/agent/election"
)

// timeOfDay reads the clock that may be set at any moment. Nothing may be decided by
// it: a test lists all that reads it.
func timeOfDay() time.Time { return time.Now() }

// wallJitter is how far two readings of two clocks may differ for no reason but
// the time between them. More is a step of the wall clock.
const wallJitter = 50 * time.Millisecond

// wallClock turns instants of the election's clock into times of day, for
// people. One and the same instant keeps its time of day from one answer to the
// next, until somebody sets the clock.
type wallClock struct {
	offset atomic.Int64 // ns from the election's clock to Unix time
}

// at is the time of day of i. now and wall are both clocks read just now.
func (w *wallClock) at(i, now election.Instant, wall time.Time) time.Time {
	offset := wall.UnixNano() - int64(now)
	if known := w.offset.Load(); known != 0 && time.Duration(offset-known).Abs() < wallJitter {
		offset = known
	} else {
		w.offset.Store(offset)
	}
	return time.Unix(0, offset+int64(i)).UTC().Truncate(time.Microsecond)
}

// calendar is at for two readings of the clocks.
func (a *Agent) calendar(now election.Instant, wall time.Time) func(election.Instant) time.Time {
	return func(i election.Instant) time.Time { return a.wall.at(i, now, wall) }
}
