// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"testing"
	"time"
)

// kernelClocks are the kernel's, which a test moves. Each reading takes a nanosecond.
type kernelClocks struct{ wall, mono, boot int64 }

func (k *kernelClocks) run(d time.Duration) {
	k.wall, k.mono, k.boot = k.wall+int64(d), k.mono+int64(d), k.boot+int64(d)
}

func (k *kernelClocks) suspend(d time.Duration) { k.wall, k.boot = k.wall+int64(d), k.boot+int64(d) }

func (k *kernelClocks) set(d time.Duration) { k.wall += int64(d) }

func (k *kernelClocks) clock() *bootClock {
	return newBootClock(func() (wall, mono int64) {
		k.run(1)
		return k.wall, k.mono
	}, func() int64 {
		k.run(1)
		return k.boot
	})
}

func TestBootClockCountsSuspendsAndIsNeverAhead(t *testing.T) {
	t.Parallel()
	k := &kernelClocks{wall: 1_800_000_000_000_000_000, mono: 5, boot: 7_000_000_000}
	c := k.clock()
	last := int64(0)
	for i, change := range []func(){
		func() {},
		func() { k.run(time.Second) },
		func() { k.suspend(time.Hour) },
		func() { k.set(-2 * time.Hour) },
		func() { k.suspend(time.Millisecond) },
		func() { k.set(maxApart) }, // not noticed, and nothing to notice
		func() { k.suspend(maxApart + 1) },
		func() { k.set(30 * time.Hour); k.suspend(time.Minute) },
		func() { k.run(100 * time.Hour) },
	} {
		change()
		now := c.now()
		if behind := k.boot - now; behind < 0 || behind > 10 {
			t.Errorf("after change %d it is %v behind", i, time.Duration(behind))
		}
		if now <= last {
			t.Errorf("after change %d it went from %d to %d", i, last, now)
		}
		last = now
	}
}

// A reading of which another process takes a part does not make the clock run ahead, nor fall behind for good.
func TestBootClockSurvivesAPause(t *testing.T) {
	t.Parallel()
	k := &kernelClocks{wall: 1_800_000_000_000_000_000, boot: 7_000_000_000}
	pause := time.Duration(0)
	c := newBootClock(func() (wall, mono int64) {
		wall = k.wall
		k.run(pause)
		return wall, k.mono
	}, func() int64 { return k.boot })
	pause = time.Second
	for range 3 {
		if now := c.now(); now > k.boot {
			t.Fatalf("%v ahead", time.Duration(now-k.boot))
		}
	}
	pause = 0
	if now := c.now(); now != k.boot {
		t.Errorf("%v off after the pauses", time.Duration(now-k.boot))
	}
}

func TestBootNowIsTheKernelsClock(t *testing.T) {
	t.Parallel()
	for range 1000 {
		before := readBoot()
		now := BootNow()
		after := readBoot()
		if now < before-int64(time.Millisecond) || now > after {
			t.Fatalf("%d is not within %d and %d", now, before, after)
		}
	}
}

func BenchmarkBootNow(b *testing.B) {
	for b.Loop() {
		BootNow()
	}
}

func BenchmarkBootNowByTheKernel(b *testing.B) {
	for b.Loop() {
		readBoot()
	}
}
