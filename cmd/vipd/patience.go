// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"vipd/agent/sdnotify"
	"vipd/agent/state/durable"
)

const (
	// freeStarts may fail in a row before a start waits: the first ones are within the lease of a
	// vipd that crashed.
	freeStarts = 5
	// maxPatience is the longest wait: the cause of the failures may end at any time.
	maxPatience = 15 * time.Second
	// maxCount is more than the file has, in bytes.
	maxCount = 64
	// lasting is the run time after which earlier failures are forgotten.
	lasting = 10 * time.Second
)

// patience delays a supervisor's restarts if starts fail in a row. systemd itself would either try
// three times per second forever or give up.
type patience struct {
	file   string // has the number of failed starts
	notify *sdnotify.Notifier
	after  func(time.Duration) <-chan time.Time // replaced by tests
}

func newPatience(runtimeDir string, notify *sdnotify.Notifier) *patience {
	return &patience{file: filepath.Join(runtimeDir, "starts"), notify: notify, after: time.After}
}

// begin waits according to the number of failures and then counts this start. Without a supervisor
// it does nothing. An error of the file disables only the delay.
func (p *patience) begin(ctx context.Context) {
	if p.notify == nil {
		return
	}
	failed := 0
	if data, err := durable.Read(p.file, maxCount); err == nil {
		failed, _ = strconv.Atoi(strings.TrimSpace(string(data)))
	}
	if wait := waitAfter(failed); wait > 0 {
		status := fmt.Sprintf("the last %d starts failed, see the log; next try in %v", failed, wait)
		_ = p.notify.Send(sdnotify.Status(status))
		select {
		case <-p.after(wait):
		case <-ctx.Done():
		}
	}
	_ = os.MkdirAll(filepath.Dir(p.file), 0o750)
	_ = os.Remove(p.file) // writing to anything but a regular file might not end
	_ = os.WriteFile(p.file, []byte(strconv.Itoa(failed+1)+"\n"), 0o600)
}

// waitAfter returns 0 for the first starts, then 1, 2, 4, 8 and 15 s.
func waitAfter(failed int) time.Duration {
	if failed < freeStarts {
		return 0
	}
	return min(time.Second<<min(failed-freeStarts, 8), maxPatience)
}

// forget resets the counter after a successful start.
func (p *patience) forget() {
	if p.notify != nil {
		_ = os.Remove(p.file)
	}
}
