// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"math"
	"sync"
	"testing"
	"time"
)

func newAlarm(t *testing.T) *Alarm {
	t.Helper()
	a, err := NewAlarm()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func TestAlarmWaitsForTheTime(t *testing.T) {
	t.Parallel()
	a := newAlarm(t)
	for _, d := range []time.Duration{-time.Second, 0, time.Microsecond, 700 * time.Microsecond, 5 * time.Millisecond} {
		began := BootNow()
		a.Wait(began + int64(d))
		if took := time.Duration(BootNow() - began); took < d {
			t.Errorf("waited %v instead of %v", took, d)
		}
	}
}

// A ring is never lost, however it meets the beginning of the wait. A wait that lost one would last for ever.
func TestRingEndsTheWait(t *testing.T) {
	t.Parallel()
	a := newAlarm(t)
	news := make(chan int, 1)
	var ringer sync.WaitGroup
	const all = 20000
	ringer.Go(func() {
		for i := range all {
			news <- i
			a.Ring()
		}
	})
	for heard := 0; heard < all; {
		a.Wait(math.MaxInt64)
		select {
		case i := <-news:
			if i != heard {
				t.Fatalf("heard %d, want %d", i, heard)
			}
			heard++
		default: // a ring for what was heard already
		}
	}
	ringer.Wait()
}

func TestClosedAlarmDoesNotWait(t *testing.T) {
	t.Parallel()
	a := newAlarm(t)
	closed := make(chan error)
	go func() { closed <- a.Close() }()
	a.Wait(math.MaxInt64)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	a.Wait(math.MaxInt64)
	a.Ring()
}

func TestWaitAllocatesNothing(t *testing.T) {
	a := newAlarm(t)
	if n := testing.AllocsPerRun(100, func() { a.Wait(0) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
