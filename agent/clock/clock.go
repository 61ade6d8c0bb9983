// SPDX-License-Identifier: Apache-2.0

// Package clock has the daemon's two clocks. Everything is decided by CLOCK_BOOTTIME, which
// cannot be set; the time of day is for people and for files only.
package clock

import (
	"sync/atomic"
	"time"

	"vipd/agent/election"
	"vipd/agent/netio"
)

// jitter is how far two readings of the two clocks may differ because of the time between
// them. More is a step of the time of day.
const jitter = 50 * time.Millisecond

// Clock reads both clocks. An instant keeps its time of day from one answer to the next,
// until the time of day is set.
type Clock struct {
	boot   func() int64
	day    func() time.Time
	offset atomic.Int64 // ns from the election's clock to Unix time
}

// New returns the clock of this host.
func New() *Clock { return Of(netio.BootNow, timeOfDay) }

// Of returns a clock that reads boot (nanoseconds since the boot) and day.
func Of(boot func() int64, day func() time.Time) *Clock { return &Clock{boot: boot, day: day} }

// timeOfDay reads the clock that may be set at any moment. Nothing may be decided by it: a
// test lists all functions that read it.
func timeOfDay() time.Time { return time.Now() }

// Now returns the present instant of elections, leases and receive times.
func (c *Clock) Now() election.Instant { return election.Instant(c.boot()) }

// TimeOfDay returns the time of day, for people and for files.
func (c *Clock) TimeOfDay() time.Time { return c.day() }

// Today returns the time of day as the API states it.
func (c *Clock) Today() time.Time { return c.day().UTC().Truncate(time.Microsecond) }

// At returns the time of day of an instant.
func (c *Clock) At(i election.Instant) time.Time { return c.Calendar()(i) }

// Calendar returns At for many instants, after one reading of the clocks.
func (c *Clock) Calendar() func(election.Instant) time.Time {
	now, wall := c.Now(), c.day()
	return func(i election.Instant) time.Time { return c.at(i, now, wall) }
}

// at returns the time of day of i, given two readings of just now.
func (c *Clock) at(i, now election.Instant, wall time.Time) time.Time {
	offset := wall.UnixNano() - int64(now)
	if known := c.offset.Load(); known != 0 && time.Duration(offset-known).Abs() < jitter {
		offset = known
	} else {
		c.offset.Store(offset)
	}
	return time.Unix(0, offset+int64(i)).UTC().Truncate(time.Microsecond)
}
