// SPDX-License-Identifier: Apache-2.0

package command_test

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vipd/agent/command"
	"vipd/tests/needs"
)

// A daemon at real-time priority must not pass it on: a busy hook would delay the election.
func TestChildrenNeverHaveRealTimePriority(t *testing.T) {
	needs.Root(t) // for real-time priority
	policy := func() string {
		var out bytes.Buffer
		err := command.Run(t.Context(), command.Spec{Argv: []string{"/usr/bin/chrt", "-p", "0"}, Output: &out})
		if err != nil {
			t.Fatal(err, out.String())
		}
		return out.String()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // never unlocked: the thread ends with its priority
		fifo := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
		if err := unix.SchedSetAttr(0, fifo, 0); err != nil {
			t.Errorf("cannot set real-time priority: %v", err)
			return
		}
		if got := policy(); !strings.Contains(got, "SCHED_OTHER") {
			t.Errorf("the child of a real-time thread: %s", got)
		}
		if mine, err := unix.SchedGetAttr(0, 0); err != nil || mine.Policy != unix.SCHED_FIFO {
			t.Errorf("the thread itself lost its priority: %+v, %v", mine, err)
		}
	}()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the program does not end")
	}
}
