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
	total   uint64 // ever added or read
	damaged int
	unsaved string

	path   string
	queue  chan numbered // nil while there is no file
	missed chan struct{} // the queue was full: write all anew
	done   chan struct{}
}

// numbered is a transition on its way to the file, with the total after it: writing all
// anew overtakes what waits in the queue.
type numbered struct {
	at uint64
	api.Transition
}

func newHistory(log *slog.Logger) *history { return &history{log: log} }

// add is called by the loop and does not block on the disk.
func (h *history) add(t api.Transition) {
	h.mu.Lock()
	h.keep(t)
	at := h.total
	h.mu.Unlock()
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
	return out, h.total
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
	h.damaged = bad
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

// historyFile is the writer's side of the file.
type historyFile struct {
	h     *history
	lines int    // in the file
	upto  uint64 // has all up to this total
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
	past, total := f.h.snapshot("")
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
	f.lines, f.upto, f.stale = len(all), total, false
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
