// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"math"
	"time"

	"vipd/agent/election"
)

// never is later than every time of a run.
const never = time.Duration(math.MaxInt64)

// clock is a host's CLOCK_BOOTTIME as a function of the true time.
type clock struct {
	at     time.Duration    // true time of its last change
	read   election.Instant // its reading at that time
	ppm    int64            // its rate error in parts per million
	frozen bool             // the machine is a guest that its host has stopped
}

const million = 1_000_000

func (c *clock) local(t time.Duration) election.Instant {
	if c.frozen {
		return c.read
	}
	d := int64(t - c.at)
	return c.read + election.Instant(d+d*c.ppm/million)
}

// when returns the first true time, not before now, at which the clock shows l or more.
func (c *clock) when(l election.Instant, now time.Duration) time.Duration {
	if c.frozen || l == election.Never {
		return never
	}
	d := int64(l - c.read)
	if c.ppm == 0 {
		return max(now, c.at+time.Duration(d))
	}
	// d*ppm does not overflow in a run of less than 100 days.
	t := c.at + time.Duration(d-d*c.ppm/(million+c.ppm))
	for c.local(t) < l {
		t++
	}
	for t > now && c.local(t-1) >= l {
		t--
	}
	return max(now, t)
}

func (c *clock) freeze(now time.Duration) {
	c.read, c.at, c.frozen = c.local(now), now, true
}

func (c *clock) thaw(now time.Duration) { c.at, c.frozen = now, false }
