// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Processors knows when the processors of this machine stood still: when a thread with a higher priority than that of
// the daemons, on each of them, did not run in time. The hypervisor had taken the processor away, or the kernel did not
// let it go; no program could have run on it.
type Processors struct {
	mu    sync.Mutex
	stood []standstill
	err   error
	cpus  int
	stop  chan struct{}
	wg    sync.WaitGroup
}

type standstill struct {
	until time.Time
	took  time.Duration
}

const (
	watchPeriod   = time.Millisecond
	minStandstill = watchPeriod / 2
)

// WatchProcessors watches until Close. It costs two percent of each processor.
func (l *Lab) WatchProcessors() *Processors {
	l.Helper()
	cpus, err := CPUs()
	l.check(err, "watch the processors")
	p := &Processors{cpus: len(cpus), stop: make(chan struct{})}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + p.cpus) // each thread keeps its P
	for _, cpu := range cpus {
		p.wg.Go(func() {
			// The thread ends with its priority and its place: it is never unlocked.
			runtime.LockOSThread()
			var one unix.CPUSet
			one.Set(cpu)
			err := unix.SchedSetaffinity(0, &one)
			if err == nil {
				err = takeRealtime(unitPriority + 1)
			}
			if err != nil {
				p.mu.Lock()
				p.err = fmt.Errorf("watch processor %d: %w", cpu, err)
				p.mu.Unlock()
				return
			}
			p.watch()
		})
	}
	return p
}

func (p *Processors) watch() {
	for due := readClock(unix.CLOCK_MONOTONIC); ; {
		select {
		case <-p.stop:
			return
		default:
		}
		due += int64(watchPeriod)
		now := sleepUntil(due)
		if late := time.Duration(now - due); late > minStandstill {
			p.mu.Lock()
			p.stood = append(p.stood, standstill{time.Now(), late})
			p.mu.Unlock()
			due = now
		}
	}
}

// Longest returns the longest time that a processor stood still, of what ended in that time; shorter ones than half a
// millisecond are not seen.
func (p *Processors) Longest(from, to time.Time) (longest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.stood {
		if !s.until.Before(from) && !s.until.Add(-s.took).After(to) {
			longest = max(longest, s.took)
		}
	}
	return longest
}

// Count returns how often a processor stood still for longer than a bound, of what ended in that time.
func (p *Processors) Count(from, to time.Time, bound time.Duration) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.stood {
		if s.took > bound && !s.until.Before(from) && !s.until.After(to) {
			n++
		}
	}
	return n
}

// Close ends the threads, and returns why the processors could not be watched.
func (p *Processors) Close() error {
	close(p.stop)
	p.wg.Wait()
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) - p.cpus)
	return p.err
}
