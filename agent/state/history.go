// SPDX-License-Identifier: Apache-2.0

package state

import (
	"log/slog"
	"sync"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/state/durable"
)

const (
	// historyQueue is how many transitions wait for a slow disk before the file is
	// rewritten from memory.
	historyQueue = 256
	// historySlack is how many lines the file may have beyond those that are kept, so
	// that not every transition rewrites it.
	historySlack = api.MaxHistory
	// historyRetry is how often a failed write is retried.
	historyRetry = 30 * time.Second
)

// History keeps the last transitions in memory and in a file of JSON lines. A caller
// only appends to memory and to a queue; a goroutine of its own writes the file.
type History struct {
	log *slog.Logger

	mu      sync.Mutex
	ring    []api.Transition // at most api.MaxHistory, oldest first from next on
	next    int
	total   uint64 // ever added or read: the id of the newest
	version uint64 // changes so far: additions and amendments
	earlier uint64 // the id of the newest of an earlier run
	damaged int
	unsaved string

	path   string
	queue  chan numbered // nil while there is no file
	missed chan struct{} // holds a token when the queue was full: rewrite the file
	done   chan struct{}
}

// numbered is a transition on its way to the file, with the version after it: a rewrite
// overtakes what waits in the queue. An amended transition is appended once more and
// replaces the earlier line.
type numbered struct {
	at      uint64
	flushed chan<- struct{} // not nil: no transition; Flush waits for those before it
	api.Transition
}

// NewHistory returns a history in memory that begins with transitions of earlier runs.
func NewHistory(log *slog.Logger, earlier ...api.Transition) *History {
	h := &History{log: log}
	h.recall(earlier)
	return h
}

// Add appends a transition and returns its id for Amend. It does not wait for the disk.
func (h *History) Add(t api.Transition) (id uint64) {
	h.mu.Lock()
	h.keep(t)
	id = h.total
	at := h.version
	h.mu.Unlock()
	h.send(at, t)
	return id
}

// Amend sets the result of a transition's hook and returns the transition; false if it is
// no longer, or was never, in the history.
func (h *History) Amend(id uint64, run *api.HookRun) (t api.Transition, known bool) {
	h.mu.Lock()
	if id == 0 || id > h.total || h.total-id >= uint64(len(h.ring)) {
		h.mu.Unlock()
		return t, false
	}
	slot := &h.ring[(id-1)%api.MaxHistory]
	slot.Hook = run
	t = *slot
	h.version++
	at := h.version
	h.mu.Unlock()
	h.send(at, t)
	return t, true
}

// Newest returns the last transition of a group and its id; 0 if there is none. Entries
// that are not transitions, such as address conflicts, do not count.
func (h *History) Newest(group string) (t api.Transition, id uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id = h.total; id > 0 && h.total-id < uint64(len(h.ring)); id-- {
		if t := h.ring[(id-1)%api.MaxHistory]; t.Group == group && t.Conflict == nil {
			return t, id
		}
	}
	return t, 0
}

// OfEarlierRun reports whether a transition was recorded by an earlier process.
func (h *History) OfEarlierRun(id uint64) bool { return id <= h.earlier }

func (h *History) send(at uint64, t api.Transition) {
	if h.queue == nil {
		return
	}
	select {
	case h.queue <- numbered{at: at, Transition: t}:
	default:
		select {
		case h.missed <- struct{}{}:
		default:
		}
	}
}

func (h *History) keep(t api.Transition) {
	h.total++
	h.version++
	if len(h.ring) < api.MaxHistory {
		h.ring = append(h.ring, t)
		return
	}
	h.ring[h.next] = t
	h.next = (h.next + 1) % api.MaxHistory
}

// Last returns the newest n transitions of a group, oldest first; 0 and "" mean all.
func (h *History) Last(group string, n int) api.History {
	out, _ := h.snapshot(group)
	if n > 0 && len(out.Transitions) > n {
		out.Transitions = out.Transitions[len(out.Transitions)-n:]
	}
	return out
}

func (h *History) snapshot(group string) (api.History, uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := api.History{Transitions: []api.Transition{}, Damaged: h.damaged, Unsaved: h.unsaved}
	for i := range h.ring {
		if t := h.ring[(h.next+i)%len(h.ring)]; group == "" || t.Group == group {
			out.Transitions = append(out.Transitions, t)
		}
	}
	return out, h.version
}

// recall takes over transitions of earlier runs.
func (h *History) recall(earlier []api.Transition) {
	for _, t := range earlier {
		h.keep(t)
	}
	h.earlier = h.total
}

// Open reads the file of an earlier process and starts to write to it. If the file cannot
// be read or written, only the past is lost: the start goes on.
func (h *History) Open(path string) {
	h.path = path
	lines, bad, torn, err := readHistory(path)
	if err != nil {
		aside, err := durable.SetAside(path, err)
		bad++
		h.log.Warn("the history of earlier runs cannot be read and was set aside", "path", path, "now", aside, "err", err)
	}
	h.mu.Lock()
	h.recall(lines)
	h.damaged = bad
	h.mu.Unlock()
	if bad > 0 && err == nil {
		h.log.Warn("skipped damaged lines in the history", "path", path, "lines", bad)
	}
	h.queue, h.missed, h.done = make(chan numbered, historyQueue), make(chan struct{}, 1), make(chan struct{})
	go h.write(len(lines), torn || bad > 0 || err != nil)
}

// Close writes what is queued, within the limit. Nothing may be added afterwards.
func (h *History) Close(limit time.Duration) {
	if h.queue == nil {
		return
	}
	close(h.queue)
	select {
	case <-h.done:
	case <-time.After(limit):
		h.log.Warn("the last transitions are not in the history file: the disk does not answer", "path", h.path)
	}
}

// Flush returns when all earlier additions are in the file, or cannot be written.
func (h *History) Flush() {
	if h.queue == nil {
		return
	}
	flushed := make(chan struct{})
	h.queue <- numbered{flushed: flushed}
	<-flushed
}
