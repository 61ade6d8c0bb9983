// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/state/durable"
)

// maxHistoryFile limits how much of the file is read: a start must not wait for a file that grew without bounds.
const maxHistoryFile = 64 << 20

// readHistory returns the readable lines and the number of damaged ones. The last line is
// torn if a crash interrupted its write.
func readHistory(path string) (lines []api.Transition, damaged int, torn bool, err error) {
	f, err := durable.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, false, nil
	}
	if err != nil {
		return nil, 0, false, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, 0, false, err
	}
	if fi.Size() > maxHistoryFile { // not written by us: the first line that is read may be cut
		if _, err := f.Seek(-maxHistoryFile, io.SeekEnd); err != nil {
			return nil, 0, false, err
		}
	}
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

// amendable is how many lines back an amendment may refer to: hooks end soon, or in order.
const amendable = 256

// amends replaces the line that t amends, and reports whether there is one.
func amends(lines []api.Transition, t *api.Transition) bool {
	if t.Hook == nil {
		return false
	}
	for i := len(lines) - 1; i >= max(0, len(lines)-amendable); i-- {
		was := &lines[i]
		if was.Group == t.Group && was.Time.Equal(t.Time) && was.From == t.From && was.To == t.To &&
			was.Generation == t.Generation {
			*was = *t
			return true
		}
	}
	return false
}

// historyFile is the file as its writing goroutine knows it.
type historyFile struct {
	h     *History
	lines int    // in the file
	upto  uint64 // version up to which everything is in the file
	stale bool   // the file lacks a line, or has a damaged one
}

// write owns the file until the queue is closed.
func (h *History) write(lines int, stale bool) {
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
			if n.flushed != nil {
				close(n.flushed)
				continue
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
	if err != nil { // part of the line may be there: only a rewrite repairs that
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
	if err := durable.Write(f.h.path, b.Bytes()); err != nil {
		f.stale = true
		f.failed(err)
		return
	}
	f.lines, f.upto, f.stale = len(all), version, false
	f.tell("")
}

// failed logs an error once; the history shows it until a write succeeds.
func (f *historyFile) failed(err error) {
	if f.tell(err.Error()) {
		f.h.log.Warn("cannot save the history, retrying; it continues in memory", "path", f.h.path, "err", err)
	}
}

func (f *historyFile) tell(unsaved string) (changed bool) {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	changed = (f.h.unsaved == "") != (unsaved == "")
	f.h.unsaved = unsaved
	return changed
}
