// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"sync"
	"testing"
	"time"

	"vipd/agent/netio"
)

// sameTime reports whether two statuses mean the same moment. The daemon counts on CLOCK_BOOTTIME, and states it as the
// time of day, which may be set between the two: by half a millisecond at a time, and 67 ms in all, in one run.
// TestStatusOutputsAgree holds how steady it is otherwise.
func sameTime(a, b time.Time) bool { return theDay.same(a, b, dayOffset()) }

// theDay begins with the first test.
var theDay = newDay(dayOffset())

// dayOffset returns how far the time of day is ahead of CLOCK_BOOTTIME.
func dayOffset() time.Duration {
	best, offset := time.Hour, time.Duration(0)
	for range 5 { // the machine may stand still between the two readings
		began := time.Now()
		boot := netio.BootNow()
		if took := time.Since(began); took < best {
			best, offset = took, time.Duration(began.UnixNano()-boot)
		}
	}
	return offset
}

// day is by how much the time of day was set.
type day struct {
	mu          sync.Mutex
	least, most time.Duration
}

func newDay(offset time.Duration) *day { return &day{least: offset, most: offset} }

// same reports whether two times are the same, if the time of day is ahead by so much now.
func (d *day) same(a, b time.Time, offset time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.least, d.most = min(d.least, offset), max(d.most, offset)
	return a.Sub(b).Abs() < 10*time.Millisecond+d.most-d.least
}

func TestSameTimeWhileTheDayIsSet(t *testing.T) {
	t.Parallel()
	now := time.Now()
	d := newDay(time.Hour)
	for _, c := range []struct{ apart, set time.Duration }{
		{9 * time.Millisecond, 0},
		{67 * time.Millisecond, 67 * time.Millisecond},
		{-67 * time.Millisecond, 67 * time.Millisecond},
		{-119 * time.Millisecond, -50 * time.Millisecond},
	} {
		if !d.same(now, now.Add(c.apart), time.Hour+c.set) || d.same(now, now.Add(c.apart+c.apart/2), time.Hour+c.set) {
			t.Errorf("%v apart, while the time of day was set by %v", c.apart, c.set)
		}
	}
}
