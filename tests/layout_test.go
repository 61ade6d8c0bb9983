// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"
)

// The next vipd cannot continue with the tables of another layout. `vipctl restart` finds that out before anything has
// happened, and with --hand-over the addresses are on the other node during the restart: clients notice nothing.
func TestRestartIntoAnotherLayoutHandsOver(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(10))
	asShipped(t, p.a, p.b)
	p.start()
	a, b := p.a.Group(group), p.b.Group(group)
	dirs, err := filepath.Glob(filepath.Join(p.a.BPFDir(), "v*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("pins: %v, %v", dirs, err)
	}
	if err := os.Rename(dirs[0], filepath.Join(p.a.BPFDir(), "v1")); err != nil {
		t.Fatal(err)
	}
	code, out := p.a.CTL("restart")
	if code != 1 || !strings.Contains(out, "have layout v1, and this vipd needs "+filepath.Base(dirs[0])) ||
		!strings.Contains(out, "vipctl restart --hand-over") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	assertUnmoved(t, map[*lab.Node]lab.GroupStatus{p.a: a, p.b: b})

	pinger := p.client.Ping(vip, 5*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)
	old := p.a.Proc()
	ctl := p.a.Spawn("vipctl", filepath.Join(bin(t), "vipctl"), "--socket", p.a.Socket(), "restart", "--hand-over")
	if code := old.Wait(patience); code != 0 {
		t.Errorf("vipd ended with exit code %d", code)
	}
	p.b.WaitAnswering(group, patience)
	p.a.Launch()
	if code := ctl.Wait(patience); code != 0 || !strings.Contains(ctl.Output(), "restarted: ") {
		t.Errorf("exit code %d\n%s", code, ctl.Output())
	}
	p.a.WaitAnswering(group, patience)
	p.b.WaitState(group, lab.Backup, patience)
	report := pinger.Stop()
	t.Logf("%s\n%s", report, ctl.Output())
	if report.Gap > 500*time.Millisecond {
		t.Errorf("clients noticed: %s", report)
	}
	if st := p.a.Status(); st.Maintenance {
		t.Error("a is still in maintenance mode")
	}
	if _, err := os.Stat(filepath.Join(p.a.BPFDir(), "v1")); err == nil {
		t.Error("the other layout is still there")
	}
}
