// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"
)

// switches returns how often the threads of a process have gone to sleep.
func switches(t *testing.T, p *lab.Proc) (sum int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.PID()))
	if err != nil || len(files) == 0 {
		t.Fatalf("no threads of %d: %v", p.PID(), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		_, rest, _ := strings.Cut(string(text), "\nvoluntary_ctxt_switches:\t")
		number, _, _ := strings.Cut(rest, "\n")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		sum += n
	}
	return sum
}

// received returns how many adverts the kernel has accepted for all groups of a node.
func received(s lab.Status) (sum uint64) {
	for _, g := range s.Groups {
		sum += g.Counters.Received
	}
	return sum
}

// A BACKUP sleeps while its masters live: the kernel withholds adverts that change nothing. It shows when each master
// was heard all the same, and takes over in time when they die.
func TestBackupSleepsWhileItsMastersLive(t *testing.T) {
	t.Parallel()
	const advskew = 10
	p := newFullPair(t, advskew)
	p.startAll()
	time.Sleep(2 * time.Second) // both have settled

	before, slept := received(p.b.Status()), switches(t, p.b.Proc())
	const window = 10 * time.Second
	time.Sleep(window)
	slept = switches(t, p.b.Proc()) - slept
	status, now := p.b.Status(), time.Now()
	heard := int(received(status) - before)
	t.Logf("%d groups, %v: %d adverts received, %d context switches", allVHIDs, window, heard, slept)
	if heard < allVHIDs*8 {
		t.Fatalf("only %d adverts were received: the masters do not advertise", heard)
	}
	// A wake-up per advert would be two each at least. What is left are its own timers and hellos, four turns a second.
	if slept > heard*3/4 {
		t.Errorf("%d context switches for %d adverts", slept, heard)
	}
	for _, g := range status.Groups {
		if g.State != lab.Backup || g.Master == nil || now.Sub(g.Master.LastSeen) > 2*time.Second {
			t.Errorf("%s is %s, master %+v, at %v", g.Group, g.State, g.Master, now)
		}
	}

	killed := p.a.Kill9()
	waitAll(p.b, p.Lab, "took over", patience, func(g lab.GroupStatus) bool {
		return g.State == lab.Master && g.Dataplane.Answering
	})
	for _, g := range p.b.Status().Groups {
		if took := g.Since.Sub(killed); took < 2*time.Second { // it heard an advert of the last second
			t.Errorf("%s was taken over %v after the master was killed", g.Group, took)
		}
	}
}
