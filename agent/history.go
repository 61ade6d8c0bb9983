// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"vipd/agent/control/api"
)

const (
	// historyQueue is how many transitions wait for a slow disk before the file is
	// written anew from memory.
	historyQueue = 256
	// historySlack is how many lines more than are kept the file may have, so that
	// it is not written anew with every transition.
	historySlack = api.MaxHistory
	// historyRetry is how often a disk that refused is tried again.
	historyRetry = 30 * time.Second
)

// history remembers the last transitions, in memory and in a file of JSON lines. The
// loop only appends to memory and to a queue; the disk belongs to a goroutine.
type history struct {
	log *slog.Logger

	mu      sync.Mutex
	ring    []api.Transition // at most api.MaxHistory, oldest first from next on
	next    int
	total   uint64 // ever added or read: the id of the newest
	version uint64 // changes so far: additions and amendments
	read    uint64 // total after reading the file: what is of earlier runs
	damaged int
	unsaved string

	path   string
	queue  chan numbered // nil while there is no file
	missed chan struct{} // the queue was full: write all anew
	done   chan struct{}
}

// numbered is a transition on its way to the file, with the version after it: writing
// all anew overtakes what waits in the queue. One that was amended is in the file once
// more, and counts for the earlier line.
type numbered struct {
	at uint64
	api.Transition
}

func newHistory(log *slog.Logger) *history { return &history{log: log} }

// add is called by the loop and does not block on the disk. It returns the id for amend.
func (h *history) add(t api.Transition) (id uint64) {
	h.mu.Lock()
	h.keep(t)
	id = h.total
	at := h.version
	h.mu.Unlock()
	h.send(at, t)
	return id
}

// amend notes what became of a transition's hook and returns the transition. It may be
// forgotten already, or never have been known.
func (h *history) amend(id uint64, run *api.HookRun) (t api.Transition, known bool) {
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

// newest returns the last transition of a group and its id, 0 when there is none.
func (h *history) newest(group string) (t api.Transition, id uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id = h.total; id > 0 && h.total-id < uint64(len(h.ring)); id-- {
		if t := h.ring[(id-1)%api.MaxHistory]; t.Group == group {
			return t, id
		}
	}
	return t, 0
}

func (h *history) send(at uint64, t api.Transition) {
	if h.queue == nil {
		return
	}
	select {
	case h.queue <- numbered{at, t}:
	default:
		poke(h.missed)
	}
}

func (h *history) keep(t api.Transition) {
	h.total++
	h.version++
	if len(h.ring) < api.MaxHistory {
		h.ring = append(h.ring, t)
		return
	}
	h.ring[h.next] = t
	h.next = (h.next + 1) % api.MaxHistory
}

// last returns the newest n of a group, oldest first; 0 and "" mean all.
func (h *history) last(group string, n int) api.History {
	out, _ := h.snapshot(group)
	if n > 0 && len(out.Transitions) > n {
		out.Transitions = out.Transitions[len(out.Transitions)-n:]
	}
	return out
}

func (h *history) snapshot(group string) (api.History, uint64) {
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

// open reads what an earlier daemon wrote and begins to write. A file that cannot be
// read or written costs the memory of the past, never the start.
func (h *history) open(path string) {
	h.path = path
	lines, bad, torn, err := readHistory(path)
	if err != nil {
		h.log.Warn("history of earlier runs not readable", "path", path, "err", err)
	}
	h.mu.Lock()
	for _, t := range lines {
		h.keep(t)
	}
	h.damaged, h.read = bad, h.total
	h.mu.Unlock()
	if bad > 0 {
		h.log.Warn("damaged lines in the history skipped", "path", path, "lines", bad)
	}
	h.queue, h.missed, h.done = make(chan numbered, historyQueue), make(chan struct{}, 1), make(chan struct{})
	go h.write(len(lines), torn || bad > 0 || err != nil)
}

// close writes what waits. Nothing may be added afterwards.
func (h *history) close() {
	if h.queue != nil {
		close(h.queue)
		<-h.done
	}
}

// readHistory returns the lines that can be read, and how many cannot. The last one is
// torn when a crash came between its bytes.
func readHistory(path string) (lines []api.Transition, damaged int, torn bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, false, nil
	}
	if err != nil {
		return nil, 0, false, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 64<<10)
	for {
		line, err := in.ReadSlice('\n')
		long := false
		for errors.Is(err, bufio.ErrBufferFull) {
			long = true
			_, err = in.ReadSlice('\n')
		}
		torn = errors.Is(err, io.EOF) && len(line) > 0
		var t api.Transition
		switch {
		case !long && len(bytes.TrimSpace(line)) == 0:
		case long || json.Unmarshal(line, &t) != nil || t.Group == "" || t.To == "" || t.Time.IsZero():
			damaged++
		case amends(lines, &t):
		default:
			lines = append(lines, t)
		}
		if len(lines) > 2*(api.MaxHistory+historySlack) { // not written by us
			lines = slices.Delete(lines, 0, len(lines)-api.MaxHistory)
		}
		if errors.Is(err, io.EOF) {
			return lines, damaged, torn, nil
		}
		if err != nil {
			return lines, damaged, torn, err
		}
	}
}

// amendable is how far back a line can be amended: hooks end soon, or in order.
const amendable = 256

// amends puts t into the place of the line that it amends, if there is one.
func amends(lines []api.Transition, t *api.Transition) bool {
	if t.Hook == nil {
		return false
	}
	for i := len(lines) - 1; i >= max(0, len(lines)-amendable); i-- {
		was := &lines[i]
		if was.Group == t.Group && was.Time.Equal(t.Time) && was.From == t.From && was.To == t.To && was.Generation == t.Generation {
			*was = *t
			return true
		}
	}
	return false
}

// historyFile is the writer's side of the file.
type historyFile struct {
	h     *history
	lines int    // in the file
	upto  uint64 // has all up to this version
	stale bool   // the file lacks something, or has something damaged
}

// write owns the file until the queue is closed.
func (h *history) write(lines int, stale bool) {
	defer close(h.done)
	f := &historyFile{h: h, lines: lines, stale: stale}
	if stale {
		f.rewrite()
	}
	retry := time.NewTicker(historyRetry)
	defer retry.Stop()
	for {
		select {
		case n, open := <-h.queue:
			if !open {
				if f.stale {
					f.rewrite()
				}
				return
			}
			f.append(n)
		case <-h.missed:
			f.rewrite()
		case <-retry.C:
			if f.stale {
				f.rewrite()
			}
		}
	}
}

func (f *historyFile) append(n numbered) {
	if n.at <= f.upto {
		return
	}
	if f.stale || f.lines >= api.MaxHistory+historySlack {
		f.rewrite()
		return
	}
	line, err := json.Marshal(&n.Transition)
	if err == nil {
		err = appendLine(f.h.path, line)
	}
	if err != nil { // the line may be there in part: only writing all anew mends that
		f.stale = true
		f.failed(err)
		return
	}
	f.lines++
}

func appendLine(path string, line []byte) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	return errors.Join(err, file.Close())
}

// rewrite replaces the file with what is in memory.
func (f *historyFile) rewrite() {
	past, version := f.h.snapshot("")
	all := past.Transitions
	var b bytes.Buffer
	for i := range all {
		line, err := json.Marshal(&all[i])
		if err != nil {
			f.failed(fmt.Errorf("encode the history: %w", err))
			return
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	if err := writeDurably(f.h.path, b.Bytes()); err != nil {
		f.stale = true
		f.failed(err)
		return
	}
	f.lines, f.upto, f.stale = len(all), version, false
	f.tell("")
}

// failed is said once, and shown with the history until it is mended.
func (f *historyFile) failed(err error) {
	if f.tell(err.Error()) {
		f.h.log.Warn("history not saved, trying again; it goes on in memory", "path", f.h.path, "err", err)
	}
}

func (f *historyFile) tell(unsaved string) (changed bool) {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	changed = (f.h.unsaved == "") != (unsaved == "")
	f.h.unsaved = unsaved
	return changed
}
