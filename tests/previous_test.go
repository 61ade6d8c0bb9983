// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// movedGap bounds what a client may miss of an upgrade that moves the address to the other node and back.
const movedGap = 500 * time.Millisecond

// TestPackagesPrevious upgrades two machines from the package that VIPD_PREVIOUS_DEB names, such as that of the last
// release, the BACKUP first. No ping is lost, unless the package says that its tables in the kernel are others: then
// the address is on the other node meanwhile.
func TestPackagesPrevious(t *testing.T) {
	dir, previous := packages(t), os.Getenv("VIPD_PREVIOUS_DEB")
	if previous == "" {
		t.Skip("VIPD_PREVIOUS_DEB names no earlier package")
	}
	a, b, client := twoMachines(t, previous, one(t, dir, "new", "*_"+runtime.GOARCH+".deb"))
	for _, m := range []*machine12{b, a} {
		before := a.transitions() + b.transitions()
		ping := client.Ping(vip, 2*time.Millisecond)
		ping.AwaitAnswer(time.Now(), patience)
		began := time.Now()
		out := m.mustRun("dpkg", "-i", "/root/new.deb")
		a.waitState("MASTER")
		b.waitState("BACKUP")
		took := time.Since(began)
		report := ping.Stop()
		moved := a.transitions() + b.transitions() - before
		t.Logf("upgrade of %s in %.1f s: %s, %d transitions\n%s", m.host.Name, took.Seconds(), report, moved, out)
		if !strings.Contains(out, "restarted: vipd ") || strings.Contains(out, "earlier version continues") {
			t.Errorf("%s still runs the earlier version", m.host.Name)
		}
		switch anew := strings.Contains(out, "cannot carry on"); {
		case anew && m == b:
			t.Error("the package speaks of addresses that move, and b was BACKUP")
		case anew && (report.Gap > movedGap || moved != 4):
			t.Errorf("the move to b and back: %s, %d transitions, want 4", report, moved)
		case !anew && (report.Lost > 0 || moved != 0):
			t.Errorf("%s lost pings or moved: %s, %d transitions", m.host.Name, report, moved)
		}
	}
}
