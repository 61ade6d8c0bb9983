// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/ordinary"
)

const (
	// watched is how often the node is read while a page is open; sampleEvery is used otherwise.
	watched = time.Second
	// restFactor times the duration of the last reading is the shortest pause, so that reading
	// thousands of groups takes at most a tenth of one core.
	restFactor = 10
	// freshFor is how old a snapshot that answers a request may be, if reading takes no time.
	freshFor = 20 * time.Millisecond
	// readWait is how long a reading waits for its turn among the requests.
	readWait = 10 * time.Second
	// gatherTime collects the transitions of one event into one reading.
	gatherTime = 50 * time.Millisecond
	// keptGroups is up to how many groups the charts are kept while nobody looks. With more that costs too much time and
	// memory: they begin when somebody opens the page, and end keptFor after the last one has left.
	keptGroups = 256
	keptFor    = 10 * time.Minute
	// shownTransitions is how many transitions the status page lists.
	shownTransitions = 20
)

// snapshot is the node at one moment, prepared for the page. It does not change once published.
type snapshot struct {
	at        time.Time
	status    api.Status
	history   []api.Transition // newest first
	incidents []api.Incident   // oldest first
	faults    map[string][]fault
	rows      []*row
	dead      error // why the election does not run
}

// hub reads the node for all viewers.
type hub struct {
	backend Backend
	alive   func() error
	gate    *ordinary.Gate // for readings that no request asked for
	log     *slog.Logger

	snap    atomic.Pointer[snapshot]
	reading sync.Mutex // guards memory and serialises readings
	memory  *memory
	took    atomic.Int64 // duration of the last reading, in ns
	groups  atomic.Int64 // at the last reading
	looked  atomic.Pointer[time.Time]

	mu      sync.Mutex
	viewers map[chan struct{}]struct{} // notified of each new snapshot
	come    chan struct{}              // notified of each new viewer
}

func newHub(b Backend, alive func() error, gate *ordinary.Gate, log *slog.Logger) *hub {
	return &hub{
		backend: b, alive: alive, gate: gate, log: log, memory: newMemory(),
		viewers: map[chan struct{}]struct{}{}, come: make(chan struct{}, 1),
	}
}

// run reads the node until ctx ends: often while a page is open, at once when something happens,
// and otherwise for the charts.
func (h *hub) run(ctx context.Context) {
	_, events, forget := h.backend.Events(ctx)
	defer func() { forget() }()
	for ctx.Err() == nil {
		began := moment()
		if !h.idle() {
			if err := h.tryRead(ctx); err != nil && ctx.Err() == nil {
				h.log.Warn("the status page cannot read the node", "err", err)
			}
		}
		idle := h.idle()
		if idle {
			h.forget()
		}
		if open := h.rest(ctx, began, idle, events); !open && ctx.Err() == nil { // dropped for being slow
			forget()
			_, events, forget = h.backend.Events(ctx)
		}
	}
}

// tryRead reads the node and turns a panic into an error: a bug of the page must not cost the
// node its addresses. (net/http does the same for requests.)
func (h *hub) tryRead(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("bug in the status page: %v\n%s", p, debug.Stack())
		}
	}()
	refused := h.gate.Do(ctx, readWait, func(ctx context.Context) { _, err = h.read(ctx) })
	return cmp.Or(refused, err)
}

// rest waits until the next reading is due, which one for a request puts off; none is while the hub is idle. It returns
// false if the events have ended.
func (h *hub) rest(ctx context.Context, began time.Time, idle bool, events <-chan api.Event) bool {
	timer := time.NewTimer(began.Add(h.pause()).Sub(moment()))
	defer timer.Stop()
	if idle {
		timer.Stop()
	}
	wanted := began // a reading that began after it shows all that has happened
	for {
		select {
		case <-ctx.Done():
			return true
		case <-timer.C:
			s := h.snap.Load()
			if s == nil || !s.at.Add(-h.lastTook()).After(wanted) {
				return true
			}
			began, wanted = s.at, s.at
			timer.Reset(max(0, began.Add(h.pause()).Sub(moment())))
		case <-h.come:
			timer.Reset(max(0, began.Add(h.pause()).Sub(moment())))
		case _, open := <-events:
			if !open {
				return false
			}
			if h.idle() {
				continue
			}
			wanted = moment()
			due := max(gatherTime, began.Add(restFactor*h.lastTook()).Sub(moment()))
			timer.Reset(min(due, max(0, began.Add(h.pause()).Sub(moment()))))
		}
	}
}

func (h *hub) lastTook() time.Duration { return time.Duration(h.took.Load()) }

func (h *hub) pause() time.Duration {
	switch {
	case h.watching():
		return max(watched, min(restFactor*h.lastTook(), sampleEvery))
	default:
		return sampleEvery
	}
}

func (h *hub) watching() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.viewers) > 0
}

// idle reports whether nobody looks, and the node has too many groups to be read for nobody.
func (h *hub) idle() bool {
	if h.groups.Load() <= keptGroups || h.watching() {
		return false
	}
	at := h.looked.Load()
	return at == nil || moment().Sub(*at) >= keptFor
}

// look notes that somebody wants to see the node now, and wakes run.
func (h *hub) look() {
	now := moment()
	h.looked.Store(&now)
	select {
	case h.come <- struct{}{}:
	default:
	}
}

// forget drops the charts and the last snapshot.
func (h *hub) forget() {
	h.reading.Lock()
	defer h.reading.Unlock()
	h.memory = newMemory()
	h.snap.Store(nil)
}

// watch returns a channel that is notified of every snapshot until forget is called.
func (h *hub) watch() (poked <-chan struct{}, forget func()) {
	ch := make(chan struct{}, 1)
	h.mu.Lock()
	h.viewers[ch] = struct{}{}
	h.mu.Unlock()
	h.look()
	return ch, func() {
		h.look() // until now
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.viewers, ch)
	}
}

// current returns a snapshot that is fresh enough to answer a request.
func (h *hub) current(ctx context.Context) (*snapshot, error) {
	age := max(freshFor, min(restFactor*h.lastTook(), watched))
	if s := h.snap.Load(); s != nil && moment().Sub(s.at) < age {
		return s, nil
	}
	return h.read(ctx)
}

// read returns a new snapshot, which another goroutine may have made since the call.
func (h *hub) read(ctx context.Context) (*snapshot, error) {
	asked := moment()
	h.reading.Lock()
	defer h.reading.Unlock()
	was := h.snap.Load()
	if was != nil && was.at.After(asked) {
		return was, nil
	}
	began := moment()
	st, err := h.backend.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the status: %w", err)
	}
	past, err := h.backend.History(ctx, "", shownTransitions)
	if err != nil {
		return nil, fmt.Errorf("read the history: %w", err)
	}
	list, err := h.backend.Incidents(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the list of incidents: %w", err)
	}
	s := &snapshot{at: moment(), status: st, history: slices.Clone(past.Transitions), incidents: list.Incidents}
	slices.Reverse(s.history)
	if !h.idle() { // else a health check asks
		h.memory.note(s.at, &s.status)
	}
	s.faults = make(map[string][]fault)
	for i := range s.status.Groups {
		g := &s.status.Groups[i]
		if f := faultsOf(g, h.memory.rise(g), s.at); len(f) > 0 {
			s.faults[g.Name] = f
		}
	}
	s.rows = makeRows(s, h.memory, was)
	h.took.Store(int64(moment().Sub(began)))
	h.groups.Store(int64(len(s.status.Groups)))
	s.dead = h.alive()
	h.snap.Store(s)
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.viewers {
		select {
		case ch <- struct{}{}:
		default: // the last notification is still pending
		}
	}
	return s, nil
}
