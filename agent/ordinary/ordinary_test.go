// SPDX-License-Identifier: Apache-2.0

package ordinary

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"vipd/tests/needs"
)

// The main goroutine keeps the main thread until TestMain.
func init() { runtime.LockOSThread() }

// mainsWork is the thread of work that begins on the main one, and whether that one has the priority of such work then.
var (
	mainsWork int
	mainsNice bool
)

func TestMain(m *testing.M) {
	t := &thread{has: make(chan struct{}), ask: make(chan func())}
	t.own(func() { mainsWork = unix.Gettid() })
	<-t.ask
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	mainsNice = err != nil || raw == 20-urgent
	runtime.UnlockOSThread()
	os.Exit(m.Run())
}

// The runtime never ends the main thread: it would keep the priority of the work, and the caller would wait for ever.
func TestWorkHasNotTheMainThread(t *testing.T) {
	if mainsWork == 0 || mainsWork == unix.Getpid() || mainsNice {
		t.Errorf("the work ran on thread %d of process %d; the main thread has its priority: %v", mainsWork, unix.Getpid(),
			mainsNice)
	}
}

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

// realTime runs f on a thread of real-time priority.
func realTime(t *testing.T, f func()) {
	t.Helper()
	needs.Root(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: no other goroutine gets the priority
		attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}
		if err := unix.SchedSetAttr(0, attr, 0); err != nil || !RealTime() {
			t.Errorf("cannot set real-time priority: %v", err)
			return
		}
		f()
		if !RealTime() {
			t.Error("the caller lost its priority")
		}
	}()
	<-done
}

// spend uses processor time of the calling thread. The runtime may have used the thread before.
func spend(d time.Duration) {
	for until := threadTime() + d; threadTime() < until; {
	}
}

// Work leaves real-time priority, is urgent among ordinary threads, and costs the time of its thread.
func TestWorkLeavesRealTime(t *testing.T) {
	realTime(t, func() {
		g := NewGate(0.2)
		before, ran := g.ready, false
		if err := g.Do(t.Context(), time.Second, func(context.Context) {
			ran = true
			// The system call returns 20 - nice.
			if raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0); RealTime() || err != nil || raw != 20-urgent {
				t.Errorf("real-time %v, nice %d, %v, want %d", RealTime(), 20-raw, err, urgent)
			}
			spend(20 * time.Millisecond)
		}); !ran || err != nil {
			t.Errorf("ran %v: %v", ran, err)
		}
		if owed := g.ready - before; owed < 50*time.Millisecond {
			t.Errorf("20 ms of the processor cost a rest of %v", owed)
		}
	})
}

// A task without a gate runs at ordinary priority as well, and its error is the caller's.
func TestAsideLeavesRealTime(t *testing.T) {
	realTime(t, func() {
		failure := errors.New("the task failed")
		ran := false
		err := Aside(t.Context(), func(context.Context) error {
			ran = true
			if RealTime() {
				t.Error("the task has real-time priority")
			}
			return failure
		})
		if !ran || !errors.Is(err, failure) {
			t.Errorf("ran %v: %v", ran, err)
		}
	})
}

// No garbage is collected while work runs at ordinary priority, however much of it there is, but while it waits and
// afterwards.
func TestNoCollectionDuringOrdinaryWork(t *testing.T) {
	litter := func() (collections uint32) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 64 {
			litterbox = make([]byte, 1<<20)
		}
		litterbox = nil
		runtime.ReadMemStats(&after)
		return after.NumGC - before.NumGC
	}
	if litter() == 0 {
		t.Fatal("this much is not collected at all: the test proves nothing")
	}
	realTime(t, func() {
		var during, outside, again uint32
		if err := Aside(t.Context(), func(ctx context.Context) error {
			during = litter()
			err := Outside(ctx, func() { outside = litter() })
			again = litter()
			return err
		}); err != nil {
			t.Error(err)
		}
		if during != 0 || again != 0 || outside == 0 {
			t.Errorf("%d and %d collections in the work, %d while it waited", during, again, outside)
		}
		if litter() == 0 {
			t.Error("nothing is collected afterwards")
		}
	})
}

// Waiting is outside the turn: others get it, and the time of the work counts before and after.
func TestOutsideEndsTheTurn(t *testing.T) {
	for _, with := range []struct {
		name string
		run  func(t *testing.T, f func())
	}{{"real-time", realTime}, {"ordinary", func(_ *testing.T, f func()) { f() }}} {
		t.Run(with.name, func(t *testing.T) {
			with.run(t, func() {
				g := NewGate(0.5)
				before, others := g.ready, false
				err := g.Do(t.Context(), time.Second, func(ctx context.Context) {
					spend(5 * time.Millisecond)
					if err := Outside(ctx, func() {
						if err := g.Do(t.Context(), time.Second, func(context.Context) { others = true }); err != nil {
							t.Errorf("the turn is not free: %v", err)
						}
					}); err != nil {
						t.Error(err)
					}
					spend(5 * time.Millisecond)
				})
				if err != nil || !others {
					t.Errorf("others %v, %v", others, err)
				}
				if owed := g.ready - before; owed < 15*time.Millisecond || owed > 60*time.Millisecond {
					t.Errorf("10 ms cost a rest of %v", owed)
				}
			})
		})
	}
}

// Work that gets no turn again after it waited ends without one, and takes none from others.
func TestOutsideWithoutAnotherTurn(t *testing.T) {
	realTime(t, func() {
		g := NewGate(0.5)
		ctx, cancel := context.WithCancel(t.Context())
		var again error
		if err := g.Do(ctx, time.Second, func(ctx context.Context) {
			again = Outside(ctx, func() {
				if err := g.enter(t.Context(), time.Second); err != nil { // the only one
					t.Error(err)
				}
				cancel()
			})
		}); err != nil || !errors.Is(again, context.Canceled) {
			t.Errorf("%v, again %v", err, again)
		}
		if g.running != 1 {
			t.Errorf("%d turns are taken, want that of the other", g.running)
		}
	})
}

// A panic of the work, or of what it waits for, is one of its caller, with the place where it happened, and holds
// nothing back from others.
func TestPanicOfTheWork(t *testing.T) {
	panics := func() {
		g := NewGate(0.5)
		for _, thrown := range []any{"a bug", http.ErrAbortHandler} {
			throw := func() { panic(thrown) }
			for name, work := range map[string]func(context.Context){
				"work": func(context.Context) { throw() }, "outside": func(ctx context.Context) { _ = Outside(ctx, throw) },
			} {
				p := caught(func() { _ = g.Do(t.Context(), time.Second, work) })
				text := fmt.Sprint(p)
				switch {
				case p == thrown && p == any(http.ErrAbortHandler):
				case p == any(http.ErrAbortHandler), !strings.Contains(text, fmt.Sprint(thrown)),
					!strings.Contains(text, "ordinary_test.go"):
					t.Errorf("%s: panic %v instead of %v", name, p, thrown)
				}
			}
		}
		if err := g.Do(t.Context(), time.Second, func(context.Context) {}); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
	panics()
	realTime(t, panics)
}

func caught(f func()) (p any) {
	defer func() { p = recover() }()
	f()
	return nil
}

// On one processor, work that makes garbage does not hold up a thread of real-time priority that makes some, too: the
// collector would wait for a thread that cannot run beside it.
func TestGarbageDoesNotHoldUpTheElection(t *testing.T) {
	realTime(t, func() {
		var one, all unix.CPUSet
		if err := unix.SchedGetaffinity(0, &all); err != nil {
			t.Error(err)
			return
		}
		for cpu := 0; ; cpu++ {
			if all.IsSet(cpu) {
				one.Set(cpu)
				break
			}
		}
		pinAll(t, &one)
		defer pinAll(t, &all)
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // as the runtime sets it on a host with one processor
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		var clients sync.WaitGroup
		clients.Go(func() {
			runtime.LockOSThread()
			attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}
			if err := unix.SchedSetAttr(0, attr, 0); err != nil {
				t.Error(err)
			}
			for ctx.Err() == nil {
				_ = (*Gate)(nil).Do(ctx, time.Second, func(context.Context) {
					for range 2000 {
						litterbox = append(litterbox[:0:0], make([]byte, 4<<10)...)
					}
				})
			}
		})
		var longest time.Duration
		for ctx.Err() == nil {
			began := time.Now()
			another = make([]byte, 16<<10)
			time.Sleep(time.Millisecond)
			longest = max(longest, time.Since(began))
		}
		clients.Wait()
		if longest > 700*time.Millisecond { // real-time threads are throttled after 950
			t.Errorf("stood still for %v", longest)
		}
		if n := runtime.GOMAXPROCS(0); n != 1 {
			t.Errorf("%d threads may run Go code at once afterwards, want 1", n)
		}
		t.Logf("longest round of a millisecond: %v", longest)
	})
}

var litterbox, another []byte // on the heap

// A handler's answer is sent after its turn, so that slow clients hold none, with its status, header and body.
func TestServeSendsTheAnswerAfterTheTurn(t *testing.T) {
	g := NewGate(0.9)
	slow := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.Serve(slowly{w, r, slow}, r, time.Second, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Of", r.URL.Path)
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "one ")
			_, _ = io.WriteString(w, "two")
		}), func(w http.ResponseWriter, err error) { http.Error(w, err.Error(), http.StatusServiceUnavailable) })
	}))
	defer s.Close()
	check := func(path string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
		if err != nil {
			t.Error(err)
			return
		}
		resp, err := s.Client().Do(r)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		of := resp.Header.Get("X-Of")
		if err != nil || resp.StatusCode != http.StatusTeapot || string(body) != "one two" || of != path {
			t.Errorf("%s: %d %q %v, %v", path, resp.StatusCode, body, resp.Header, err)
		}
	}
	var waiting sync.WaitGroup
	for range 2 * slots {
		waiting.Go(func() { check("/slow") })
	}
	for range 3 {
		check("/")
	}
	close(slow)
	waiting.Wait()
}

// slowly is a client that does not read the answer to /slow for a while.
type slowly struct {
	http.ResponseWriter
	r    *http.Request
	slow chan struct{}
}

func (s slowly) Write(b []byte) (int, error) {
	if s.r.URL.Path == "/slow" {
		<-s.slow
	}
	return s.ResponseWriter.Write(b)
}

// A handler that writes nothing answers as net/http does, and a request without a turn is refused as busy.
func TestServeWithoutABodyOrATurn(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	refuse := func(w http.ResponseWriter, err error) { http.Error(w, err.Error(), http.StatusServiceUnavailable) }
	w := httptest.NewRecorder()
	NewGate(0.5).Serve(w, r, time.Second, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), refuse)
	if w.Code != http.StatusOK || w.Body.Len() != 0 {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	g := NewGate(0.5)
	if err := g.enter(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	w = httptest.NewRecorder()
	g.Serve(w, r, time.Millisecond, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("served without a turn")
	}), refuse)
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), ErrBusy.Error()) {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

// Without a gate there is always a turn, and outside of any work waiting is only that.
func TestNilGateIsOpen(t *testing.T) {
	t.Parallel()
	var g *Gate
	ran, waited := false, false
	err := g.Do(t.Context(), 0, func(ctx context.Context) {
		ran = true
		if err := Outside(ctx, func() { waited = true }); err != nil {
			t.Error(err)
		}
	})
	if err != nil || !ran || !waited {
		t.Errorf("ran %v, waited %v, %v", ran, waited, err)
	}
	if err := Outside(t.Context(), func() { waited = false }); err != nil || waited {
		t.Errorf("waited %v, %v", !waited, err)
	}
}

// pinAll has every thread of the process run on these processors.
func pinAll(t *testing.T, on *unix.CPUSet) {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Error(err)
	}
	for _, e := range tasks {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Error(err)
		}
		if err := unix.SchedSetaffinity(id, on); err != nil && !errors.Is(err, unix.ESRCH) {
			t.Error(err)
		}
	}
}
