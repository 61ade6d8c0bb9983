// SPDX-License-Identifier: Apache-2.0

package ordinary

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"vipd/tests/needs"
)

// Eight greedy clients together get the share, and run one after the other.
func TestClientsGetTheirShareOneAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const span, share = 60 * time.Second, 0.1
		g := NewGate(share)
		var mu sync.Mutex
		var used time.Duration
		running, most := 0, 0
		ctx, cancel := context.WithTimeout(t.Context(), span)
		defer cancel()
		var clients sync.WaitGroup
		for i := range 8 {
			cost := time.Duration(1+i) * time.Millisecond
			clients.Go(func() {
				for g.enter(ctx, span) == nil {
					mu.Lock()
					running++
					most = max(most, running)
					mu.Unlock()
					time.Sleep(cost)
					mu.Lock()
					running--
					used += cost
					mu.Unlock()
					g.leave(cost)
				}
			})
		}
		clients.Wait()
		if got := used.Seconds() / span.Seconds(); got > share*1.02 || got < share*0.9 {
			t.Errorf("%v in %v, want %v of it", used, span, share)
		}
		if most != slots {
			t.Errorf("%d ran at once, want %d", most, slots)
		}
	})
}

func TestRequestWithoutTurnIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(0.2)
		for range slots {
			if err := g.enter(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		if err := g.enter(t.Context(), time.Second); !errors.Is(err, ErrBusy) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := g.enter(ctx, time.Second); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		g.leave(0)
		if err := g.enter(t.Context(), time.Second); err != nil {
			t.Errorf("a turn is free, but requests that gave up still hold the queue: %v", err)
		}
		// A request that took a minute does not delay the others for minutes.
		g.leave(time.Minute)
		if err := g.enter(t.Context(), maxDebt+time.Millisecond); err != nil {
			t.Error(err)
		}
	})
}

// Connections without a request are accepted within the share.
func TestIdleConnectionsAreAcceptedWithinTheShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(0.1)
		began, n := time.Now(), 0
		for time.Since(began) < 20*time.Second {
			g.Accepted()
			n++
		}
		if cost := time.Duration(n) * acceptCost; cost > 2200*time.Millisecond || cost < 1800*time.Millisecond {
			t.Errorf("%d connections in 20 s", n)
		}
		if err := g.enter(t.Context(), time.Second); err != nil {
			t.Errorf("requests do not get their turn: %v", err)
		}
	})
}

// A page and its files after a rest are served at once.
func TestBurstIsServedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(0.2)
		time.Sleep(time.Minute)
		began := time.Now()
		for range 10 {
			if err := g.enter(t.Context(), time.Second); err != nil {
				t.Fatal(err)
			}
			g.leave(burst / 12)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("ten small requests waited %v", took)
		}
	})
}

// Each connection's thread has real-time priority until its first request.
func TestRequestsAreServedByOrdinaryThreads(t *testing.T) {
	needs.Root(t)
	g := NewGate(0.2)
	slow := make(chan struct{})
	var served atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !Of(r.Context()).locked {
			runtime.LockOSThread()
			attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
			if err := unix.SchedSetAttr(0, attr, 0); err != nil || !RealTime() {
				t.Errorf("cannot set real-time priority: %v", err)
			}
		}
		Serve(w, r, time.Second, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			served.Add(1)
			if attr, err := unix.SchedGetAttr(0, 0); err != nil || attr.Policy != unix.SCHED_NORMAL {
				t.Errorf("policy of a request: %v, %v", attr, err)
			}
			if r.URL.Path == "/slow" {
				_, _ = io.WriteString(w, "begun") // which ends the turn
				<-slow
			}
		}), func(w http.ResponseWriter, err error) { http.Error(w, err.Error(), http.StatusServiceUnavailable) })
	}))
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return With(ctx, g.NewThread())
	}
	s.Start()
	defer s.Close()
	var waiting sync.WaitGroup
	for range slots {
		waiting.Go(func() { get(t, s, "/slow") })
	}
	for range 3 { // while slow clients hold their connections
		if code := get(t, s, "/"); code != http.StatusOK {
			t.Errorf("status %d", code)
		}
	}
	close(slow)
	waiting.Wait()
	if served.Load() != 3+slots {
		t.Errorf("%d requests were served", served.Load())
	}
}

func get(t *testing.T, s *httptest.Server, path string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Error(err)
		return 0
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// A thread leaves real-time priority and charges its processor time.
func TestThreadLeavesRealTime(t *testing.T) {
	needs.Root(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
		if err := unix.SchedSetAttr(0, attr, 0); err != nil || !RealTime() {
			t.Errorf("cannot set real-time priority: %v", err)
		}
		thread := NewGate(0.2).NewThread()
		if err := thread.Turn(t.Context(), time.Second); err != nil || RealTime() {
			t.Errorf("still real-time: %v", err)
		}
		// The system call returns 20 - nice.
		if raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err != nil || raw != 20-urgent {
			t.Errorf("nice %d, %v, want %d", 20-raw, err, urgent)
		}
		before := thread.gate.ready
		// The runtime may have used the thread before.
		for until := threadTime() + 20*time.Millisecond; threadTime() < until; {
		}
		thread.Done()
		if owed := thread.gate.ready - before; owed < 50*time.Millisecond {
			t.Errorf("20 ms of the processor cost a rest of %v", owed)
		}
	}()
	<-done
}

// A task runs at ordinary priority, and its caller keeps its own.
func TestAsideLeavesRealTime(t *testing.T) {
	needs.Root(t)
	failure := errors.New("the task failed")
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: no other goroutine gets the priority
		attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}
		if err := unix.SchedSetAttr(0, attr, 0); err != nil || !RealTime() {
			t.Errorf("cannot set real-time priority: %v", err)
		}
		ran := false
		err := Aside(func() error {
			ran = true
			if RealTime() {
				t.Error("the task has real-time priority")
			}
			return failure
		})
		if !ran || !errors.Is(err, failure) || !RealTime() {
			t.Errorf("ran %v: %v; real-time afterwards %v", ran, err, RealTime())
		}
	}()
	<-done
}

// Without a gate nothing changes.
func TestNilGateIsOpen(t *testing.T) {
	t.Parallel()
	var g *Gate
	thread := g.NewThread()
	if err := thread.Turn(t.Context(), 0); err != nil || thread.locked {
		t.Error(err, thread)
	}
	thread.Done()
	thread.chargeRest()
	if err := Of(t.Context()).Turn(t.Context(), 0); err != nil {
		t.Error(err)
	}
}
