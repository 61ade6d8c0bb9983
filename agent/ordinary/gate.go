// SPDX-License-Identifier: Apache-2.0

package ordinary

import (
	"context"
	"errors"
	"runtime/metrics"
	"slices"
	"sync"
	"time"
)

// Shares of one core. The first two leave a part of a quarter core for work that the runtime does on its own threads:
// garbage collection and waiting for the network.
const (
	PageShare    = 0.09 // the HTTP listener: page, metrics, health
	ControlShare = 0.06 // readers on the control socket
	// CheckShare is for health checks over HTTP. It is apart from the quarter core: the operator decides how many there
	// are. About 80 runs per second with TLS fit into it, 3 ms each (BenchmarkHTTPS in agent/checks).
	CheckShare = 0.25
)

const (
	// burst is the processor time that is available at once after a rest, enough for a page and its files.
	burst = 60 * time.Millisecond
	// floor is added to each turn for what the runtime does outside the thread, as measured under load.
	floor = 400 * time.Microsecond
	// maxDebt limits how long other requests wait because of one request's use.
	maxDebt = 2 * time.Second
	// slots is how many turns of a gate there are at once.
	slots = 1
)

// ErrBusy means that a request got no turn in time.
var ErrBusy = errors.New("too many requests; try again later")

// Gate gives threads their turns within a share of one core. Create it with [NewGate]. A nil gate is
// always open.
type Gate struct {
	share float64
	now   func() time.Duration // since any moment

	mu        sync.Mutex
	ready     time.Duration // when the used time fits into the share again
	running   int
	collector collector
	queue     []*waiter   // the first has waited longest
	timer     *time.Timer // runs while the queue waits for ready
}

type waiter struct{ called chan struct{} }

// NewGate returns a gate for a share of one core.
func NewGate(share float64) *Gate {
	began := moment()
	return &Gate{share: share, collector: newCollector(), now: func() time.Duration { return moment().Sub(began) }}
}

// moment is used for its monotonic part only.
func moment() time.Time { return time.Now() }

// enter waits for a turn, at most for patience.
func (g *Gate) enter(ctx context.Context, patience time.Duration) error {
	g.mu.Lock()
	w := &waiter{called: make(chan struct{})}
	g.queue = append(g.queue, w)
	g.dispatch()
	g.mu.Unlock()
	select { // mostly without a timer
	case <-w.called:
		return nil
	default:
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	err := ErrBusy
	select {
	case <-w.called:
		return nil
	case <-timeout.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.queue, w); i >= 0 {
		g.queue = slices.Delete(g.queue, i, i+1)
		return err
	}
	return nil // called in the meantime
}

// dispatch gives turns to waiting threads. The caller holds mu.
func (g *Gate) dispatch() {
	for g.running < slots && len(g.queue) > 0 {
		if wait := g.ready - g.now(); wait > 0 {
			g.wake(wait)
			return
		}
		close(g.queue[0].called)
		g.queue = g.queue[1:]
		g.running++
	}
}

func (g *Gate) wake(after time.Duration) {
	if g.timer != nil {
		g.timer.Reset(after)
		return
	}
	g.timer = time.AfterFunc(after, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.dispatch()
	})
}

// acceptCost is about the processor time of accepting a connection, on a thread of the runtime. Up to
// acceptDebt of it is allowed without a pause.
const (
	acceptCost = 200 * time.Microsecond
	acceptDebt = 100 * time.Millisecond
)

// Accepted charges for a connection and pauses while too much is charged, since a client that connects
// without a request waits for no turn. The kernel queues further connections in the meantime.
func (g *Gate) Accepted() {
	if g == nil {
		return
	}
	g.mu.Lock()
	g.owe(acceptCost)
	rest := g.ready - g.now() - acceptDebt
	g.mu.Unlock()
	time.Sleep(rest)
}

func (g *Gate) owe(used time.Duration) {
	now := g.now()
	g.ready = min(max(g.ready, now-g.forTime(burst))+g.forTime(used), now+maxDebt)
}

// forTime returns how long it takes until used processor time fits into the share.
func (g *Gate) forTime(used time.Duration) time.Duration {
	return time.Duration(float64(used) / g.share)
}

// done ends a turn and charges its time and a part of the garbage collector's work.
func (g *Gate) done(used time.Duration) {
	g.mu.Lock()
	garbage := g.collector.used()
	g.mu.Unlock()
	g.leave(used + min(garbage, maxGarbage*used))
}

// leave ends a turn.
func (g *Gate) leave(used time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	g.owe(used + floor)
	g.dispatch()
}

// maxGarbage times the time of a turn is the most that it is charged for the garbage collector: the
// election loop makes garbage as well.
const maxGarbage = 3

// collector measures the garbage collector's work that a gate has not charged yet. Each gate charges
// all of it, since it is not known which of them made the garbage.
type collector struct {
	samples [2]metrics.Sample
	charged float64
}

func newCollector() collector {
	return collector{samples: [2]metrics.Sample{
		{Name: "/cpu/classes/gc/mark/dedicated:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/idle:cpu-seconds"},
	}}
}

// used returns the time of the collector's own threads since the last call. Its work on allocating
// threads is part of their own time.
func (c *collector) used() time.Duration {
	metrics.Read(c.samples[:])
	total := 0.0
	for _, s := range c.samples {
		if s.Value.Kind() == metrics.KindFloat64 {
			total += s.Value.Float64()
		}
	}
	used := total - c.charged
	c.charged = total
	return time.Duration(used * float64(time.Second))
}
