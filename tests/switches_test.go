// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vipd/tests/lab"
)

// disable removes the VIPs and says goodbye, so that the next node takes over at once; enable brings the node back.
func TestDisableHandsOverAndEnableComesBack(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(10))
	p.start()
	sniffer, stalls := p.portA.Sniff(), p.WatchStalls()
	at := time.Now()
	p.a.MustCTL("disable")
	g := p.a.WaitState(group, lab.Init, patience)
	if g.Reason != "disabled" || p.a.Status().Enabled {
		t.Errorf("after disable: INIT for %q, enabled %v", g.Reason, p.a.Status().Enabled)
	}
	if p.a.HasAddress("eth0", vip) {
		t.Error("the disabled node still has the VIP")
	}
	p.b.WaitAnswering(group, 2*time.Second)
	successor := sniffer.Await(patience, "b's advert", func(f lab.Frame) bool {
		ad, ok := f.Advert()
		return ok && !f.FromHost && ad.Src == addrB && f.At.After(at)
	})
	goodbye := onlyGoodbye(t, sniffer.Frames().FromHost().After(at))
	took := successor.At.Sub(goodbye.At)
	t.Logf("successor %v after the goodbye", took)
	if took > 200*time.Millisecond+stalls.Allowance() {
		t.Errorf("the next node took over %v after the goodbye, want under 200 ms", took)
	}
	if out := p.a.MustCTL("status"); !strings.Contains(out, "DISABLED") {
		t.Errorf("the table does not say DISABLED:\n%s", out)
	}
	if code, out := p.a.CTL("status", "--check"); code != 4 {
		t.Errorf("status --check of a disabled node: exit code %d, want 4\n%s", code, out)
	}
	p.a.MustCTL("enable")
	p.a.WaitAnswering(group, patience) // it preempts
	p.b.WaitState(group, lab.Backup, patience)
	if code, out := p.a.CTL("status", "--check"); code != 0 {
		t.Errorf("status --check of an enabled MASTER: exit code %d\n%s", code, out)
	}
}

// disable outlives the daemon and is forgotten when runtime_dir is wiped, as a reboot does.
func TestDisableIsForgottenAtRebootOnly(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.node.Start()
	s.node.MustCTL("disable")
	s.node.WaitState(group, lab.Init, patience)
	s.node.Stop()
	s.node.Start()
	time.Sleep(skewed(0) + time.Second) // it would be MASTER by now
	if g, st := s.node.Group(group), s.node.Status(); g.State != lab.Init || g.Reason != "disabled" || st.Enabled {
		t.Errorf("after a restart: %s (%s), enabled %v", g.State, g.Reason, st.Enabled)
	}
	s.node.Stop()
	if err := os.RemoveAll(s.node.RuntimeDir()); err != nil {
		t.Fatal(err)
	}
	s.node.Start()
	s.node.WaitAnswering(group, upTimeout)
	if !s.node.Status().Enabled {
		t.Error("disabled after a wipe of runtime_dir")
	}
}

// maintenance is on disk before the command returns, is advertised at skew 240 at once, and survives the daemon and a
// wipe of runtime_dir.
func TestMaintenanceIsPersistentAndAdvertised(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(10))
	p.start()
	sniffer := p.portA.Sniff()
	at := time.Now()
	p.a.MustCTL("maintenance", "enter")
	p.a.Kill9() // the very moment the command has returned
	took := time.Since(at)
	p.b.WaitAnswering(group, patience)
	// One of before may leave while the command starts.
	first := sniffer.Await(patience, "an advert in maintenance", func(f lab.Frame) bool {
		ad, ok := f.Advert()
		return ok && f.FromHost && f.At.After(at) && ad.AdvSkew != 0
	})
	if ad, _ := first.Advert(); ad.AdvSkew != 240 || ad.AdvBase != 1 {
		t.Errorf("first advert in maintenance says %+v, want skew 240", ad)
	}
	if late := first.At.Sub(at); late > max(took, 500*time.Millisecond) {
		t.Errorf("skew 240 was advertised only %v after the command, which took %v", late, took)
	}
	if err := os.RemoveAll(p.a.RuntimeDir()); err != nil {
		t.Fatal(err)
	}

	p.a.Start()
	st := p.a.Status()
	if !st.Maintenance || st.Demotion != 240 || len(st.Demotions) != 1 || st.Demotions[0].Name != "maintenance" ||
		st.Demotions[0].Value != 240 {
		t.Errorf("after kill -9 and a wipe of runtime_dir: %+v", st)
	}
	if g := p.a.Group(group); g.EffectiveAdvSkew != 240 {
		t.Errorf("effective advskew %d, want 240", g.EffectiveAdvSkew)
	}
	if out := p.a.MustCTL("maintenance", "status"); !strings.Contains(strings.ToLower(out), "maintenance") {
		t.Errorf("maintenance status: %s", out)
	}
	if code, out := p.a.CTL("status", "--check"); code != 4 {
		t.Errorf("status --check in maintenance: exit code %d, want 4\n%s", code, out)
	}
	since := p.b.Group(group).Since
	time.Sleep(skewed(0) + time.Second)
	if g := p.b.Group(group); g.State != lab.Master || !sameTime(g.Since, since) {
		t.Errorf("b is %s since %v: a node in maintenance moved the VIP", g.State, g.Since)
	}
	if g := p.a.Group(group); g.State != lab.Backup {
		t.Errorf("a in maintenance is %s (%s), want BACKUP", g.State, g.Reason)
	}

	p.a.MustCTL("maintenance", "leave")
	p.a.WaitAnswering(group, patience)
	p.a.Stop()
	p.a.Start()
	if st := p.a.Status(); st.Maintenance || st.Demotion != 0 {
		t.Errorf("maintenance came back after leave: %+v", st)
	}
}

// Maintenance that cannot be written down is an error and changes nothing.
func TestMaintenanceThatCannotBeWrittenChangesNothing(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.startMaster()
	// A file in its place, where no directory can be made. The daemon may be writing just now: so at one stroke.
	file := s.node.StateDir() + ".file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	exchange := func() {
		if err := unix.Renameat2(unix.AT_FDCWD, file, unix.AT_FDCWD, s.node.StateDir(), unix.RENAME_EXCHANGE); err != nil {
			t.Fatal(err)
		}
	}
	exchange()
	code, out := s.node.CTL("maintenance", "enter")
	if code != 1 || !strings.Contains(out, s.node.StateDir()) {
		t.Errorf("exit code %d, want 1 and the path in:\n%s", code, out)
	}
	if st := s.node.Status(); st.Maintenance || st.Demotion != 0 || st.Groups[0].EffectiveAdvSkew != 0 {
		t.Errorf("the node is in maintenance that is not on disk: %+v", st)
	}
	exchange()
	s.node.MustCTL("maintenance", "enter")
	if !s.node.Status().Maintenance {
		t.Error("maintenance does not work when it can be written: the test proves nothing")
	}
}

// A master that enters maintenance hands over to a preempting peer without a goodbye, and takes back what it handed
// over.
func TestMaintenanceMovesTheVIPToAPreemptingPeer(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(10))
	p.start()
	at := time.Now()
	p.a.MustCTL("maintenance", "enter")
	p.b.WaitAnswering(group, time.Second)
	t.Logf("b answers %v after the command was typed", time.Since(at))
	p.a.WaitState(group, lab.Backup, time.Second)
	p.a.MustCTL("maintenance", "leave")
	p.a.WaitAnswering(group, patience)
}

// If the daemon is stopped, vipctl reports that it is unreachable, with its exit code.
func TestCTLSaysThatTheDaemonIsUnreachable(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	code, out := s.node.CTL("status")
	if code != 3 || !strings.Contains(out, s.node.Socket()) {
		t.Errorf("exit code %d, want 3 and the socket's path in:\n%s", code, out)
	}
	if code, out := s.node.CTL("no-such-command"); code != 2 {
		t.Errorf("exit code %d for an unknown command, want 2:\n%s", code, out)
	}
	if code, out := s.node.CTL("show", group, "--json"); code != 2 {
		t.Errorf("exit code %d for a flag behind an argument, want 2:\n%s", code, out)
	}
}
