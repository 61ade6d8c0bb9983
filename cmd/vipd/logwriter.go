// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// logLines is the length of the queue for a slow reader.
const logLines = 1024

// logWriter writes log lines in its own goroutine: a full pipe or a hanging journal must not delay
// the renewal of a lease. It counts lines that do not fit into the queue and writes the count as
// soon as there is room.
type logWriter struct {
	lines   chan []byte
	dropped atomic.Uint64
	done    chan struct{}
	close   sync.Once
}

// newLogWriter starts a writer to w.
func newLogWriter(w io.Writer) *logWriter {
	l := &logWriter{lines: make(chan []byte, logLines), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for line := range l.lines {
			// An error of the log cannot be reported.
			_, _ = w.Write(line)
			if n := l.dropped.Swap(0); n > 0 {
				_, _ = fmt.Fprintf(w, "vipd: %d log lines dropped, the reader was too slow\n", n)
			}
		}
	}()
	return l
}

// Write never blocks and never fails.
func (l *logWriter) Write(line []byte) (int, error) {
	select {
	case l.lines <- bytes.Clone(line):
	default:
		l.dropped.Add(1)
	}
	return len(line), nil
}

// Close writes the lines in the queue. Nothing may be written afterwards.
func (l *logWriter) Close() error {
	l.close.Do(func() { close(l.lines) })
	<-l.done
	return nil
}
