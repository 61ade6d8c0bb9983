// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

// A log reader that hangs costs lines, never time.
func TestLogWriterNeverBlocks(t *testing.T) {
	r, w := io.Pipe()
	l := newLogWriter(w)
	const lines = 3 * logLines
	for i := range lines { // nobody reads: this returns all the same
		fmt.Fprintf(l, "line %d\n", i)
	}
	var got bytes.Buffer
	read := make(chan error, 1)
	go func() {
		_, err := io.Copy(&got, r)
		read <- err
	}()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	text := got.String()
	if !strings.HasPrefix(text, "line 0\n") {
		t.Errorf("the first line is lost: %.40q", text)
	}
	if !strings.Contains(text, "log lines dropped") {
		t.Error("no word about the lines that were dropped")
	}
	if n := strings.Count(text, "line "); n < logLines || n >= lines {
		t.Errorf("%d lines written, want at least the %d that wait and not all %d", n, logLines, lines)
	}
}
