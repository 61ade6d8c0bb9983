// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// maxSteps is more than any one system call is made while maintenance is entered.
const maxSteps = 12

// The daemon is killed at every step of `maintenance enter`: before each of the system calls that the way to the disk
// consists of, one after the other until it lives through them all. Whatever the command said is so at the next start,
// the file is whole or not there, and the VIP is where it was.
func TestKilledAtEveryStepOfMaintenanceEnter(t *testing.T) {
	require(t, needStrace)
	t.Parallel()
	for _, call := range []string{"openat", "write", "fsync", "close", "renameat,renameat2"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			s := newSingle(t, oneVIP(0))
			s.startMaster()
			killed := 0
			for step := 1; step <= maxSteps; step++ {
				if !killedAt(t, s, call, step) {
					t.Logf("killed before each of %d calls of %s", killed, call)
					if killed == 0 {
						t.Errorf("it never calls %s: this proves nothing", call)
					}
					return
				}
				killed++
			}
			t.Errorf("killed %d times and not through yet", killed)
		})
	}
}

// killedAt enters maintenance with the daemon killed before the nth such call of a thread, and reports whether it was.
func killedAt(t *testing.T, s *single, call string, n int) bool {
	t.Helper()
	daemon := s.node.Proc()
	before := s.node.Group(group)
	strace := s.node.Spawn("strace", "strace", "-f", "-o", filepath.Join(s.Dir(), "strace.out"), "-p",
		fmt.Sprint(daemon.PID()),
		"-e", "trace="+call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n))
	s.Eventually(patience, 5*time.Millisecond, func() (bool, string) {
		return strings.Contains(strace.Output(), "attached") || !daemon.Running(), "strace is attached: " + strace.Output()
	})
	code, out := s.node.CTL("maintenance", "enter")
	lived := code == 0 && daemon.Running()
	if lived {
		// the kernel lets its threads go; asked to, strace sometimes waits for one of them for ever
		strace.Kill9()
		_, err := s.node.TryStatus() // or it was killed after its answer
		lived = err == nil
	}
	if !lived {
		if got := daemon.Wait(patience); got != -1 {
			t.Fatalf("call %d: the daemon ended with %d and was not killed", n, got)
		}
		if code != 0 && code != 1 && code != 3 {
			t.Errorf("call %d: exit code %d\n%s", n, code, out)
		}
	}
	on := maintenanceOnDisk(t, s.node.StateDir())
	if code == 0 && !on {
		t.Errorf("call %d: the command said %q and there is nothing on disk", n, strings.TrimSpace(out))
	}
	if !lived {
		s.node.Start()
	}
	after := s.node.WaitAnswering(group, upTimeout)
	if gap := after.Since.Sub(before.Since); after.Generation != before.Generation {
		t.Logf("call %d: another generation, %v later: the start took longer than the lease", n, gap)
	}
	if st := s.node.Status(); st.Maintenance != on {
		t.Errorf("call %d: maintenance is %v on disk and %v in the status", n, on, st.Maintenance)
	}
	if left, _ := filepath.Glob(filepath.Join(s.node.StateDir(), ".maintenance*")); len(left) > 0 {
		t.Errorf("call %d: left behind: %v", n, left)
	}
	s.node.MustCTL("maintenance", "leave")
	return !lived
}
