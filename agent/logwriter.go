// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// logLines is how many lines wait for a slow reader before they are dropped.
const logLines = 1024

// LogWriter hands log lines to w in a goroutine of its own. The election loop
// writes log lines; a full pipe or a journal that hangs must not keep it from
// renewing a lease. Lines that find no place are counted, and the count is
// written as soon as there is room again.
type LogWriter struct {
	lines   chan []byte
	dropped atomic.Uint64
	done    chan struct{}
	close   sync.Once
}

// NewLogWriter starts writing to w.
func NewLogWriter(w io.Writer) *LogWriter {
	l := &LogWriter{lines: make(chan []byte, logLines), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for line := range l.lines {
			// Nobody is left to tell of a log that cannot be written.
			_, _ = w.Write(line)
			if n := l.dropped.Swap(0); n > 0 {
				_, _ = fmt.Fprintf(w, "vipd: %d log lines dropped, the reader was too slow\n", n)
			}
		}
	}()
	return l
}

// Write never blocks and never fails.
func (l *LogWriter) Write(line []byte) (int, error) {
	select {
	case l.lines <- bytes.Clone(line):
	default:
		l.dropped.Add(1)
	}
	return len(line), nil
}

// Close writes what waits. Nothing may be written afterwards.
func (l *LogWriter) Close() error {
	l.close.Do(func() { close(l.lines) })
	<-l.done
	return nil
}
