// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

// lockedBuffer is written by Run and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestWatch(t *testing.T) {
	n := &node{status: healthy()}
	socket := n.serve(t)
	for _, tty := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		var out, errs lockedBuffer
		ended := make(chan int)
		go func() {
			ended <- Run(ctx, []string{"vipctl", "--socket", socket, "status", "--watch"}, Env{Stdout: &out, Stderr: &errs, Now: testNow, Terminal: tty})
		}()
		for deadline := time.Now().Add(10 * time.Second); strings.Count(out.String(), "eth2@20") < 2; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no second frame: %q, %q", out.String(), errs.String())
			}
		}
		cancel()
		if code := <-ended; code != ExitOK || errs.String() != "" {
			t.Errorf("exit %d, %q", code, errs.String())
		}
		if redrawn := strings.Count(out.String(), "\x1b[H"); tty != (redrawn >= 2) {
			t.Errorf("terminal %v: redrawn %d times", tty, redrawn)
		}
	}
}
