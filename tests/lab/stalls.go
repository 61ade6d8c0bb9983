// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Stalls measures how late this machine runs a thread that wakes every millisecond, as the daemons' threads do. What a
// test measures of a daemon cannot be more exact than that.
type Stalls struct {
	longest atomic.Int64
	stop    chan struct{}
	once    sync.Once
	wg      sync.WaitGroup
}

// hops is the number of threads that run one after the other between a frame and the answer of an agent: the reader of
// the ring, the election loop, the sender. Each may be late.
const hops = 3

// WatchStalls measures until the lab ends.
func (l *Lab) WatchStalls() *Stalls {
	s := &Stalls{stop: make(chan struct{})}
	s.wg.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		const pause = time.Millisecond
		for last := time.Now(); ; {
			select {
			case <-s.stop:
				return
			default:
			}
			time.Sleep(pause)
			now := time.Now()
			s.longest.Store(max(s.longest.Load(), int64(now.Sub(last)-pause)))
			last = now
		}
	})
	l.Cleanup(func() {
		s.once.Do(func() { close(s.stop) })
		s.wg.Wait()
	})
	return s
}

// Allowance returns how much later than on an idle machine an agent may answer.
func (s *Stalls) Allowance() time.Duration { return hops * time.Duration(s.longest.Load()) }

// Allowance returns the same for a gap that a pinger has seen.
func (r PingReport) Allowance() time.Duration { return hops * r.Stall }
