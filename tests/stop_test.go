// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"io/fs"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"vipd/tests/lab"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
)

// A graceful stop of the master: the other node is asked to take over and does so in under 200 ms, the client loses at
// most 20 pings at 2 ms, and nothing of ours is left in the kernel. Runs alone: it measures.
func TestGracefulStopHandsOverAndLeavesNothing(t *testing.T) {
	p := newPair(t, oneVIP(0), oneVIP(10))
	clean := p.a.Snapshot()
	p.start()
	assertPrograms(t, p.a.Host, true) // control: there is something to leave behind
	if diff := cmp.Diff(clean, p.a.Snapshot()); diff == "" {
		t.Error("a running MASTER changes nothing on its host: the test proves nothing")
	}
	if got := p.segment.Learned(vmac); got != p.portA.Name {
		t.Errorf("the switch believes the virtual MAC behind %q, want %q", got, p.portA.Name)
	}
	assertFilter(t, p.a, true)
	assertFilter(t, p.b, false)
	sniffer := p.portA.Sniff()
	pinger := p.client.Ping(vip, pingSpacing)
	pinger.AwaitAnswer(time.Now(), patience)
	time.Sleep(time.Second)

	at := p.a.Stop()
	gone := time.Now()
	p.b.WaitAnswering(group, 2*time.Second)
	time.Sleep(500 * time.Millisecond)
	r := pinger.Stop()

	frames := sniffer.Frames()
	successor := frames.ToHost().After(at).Adverts(vhid)
	if len(successor) == 0 {
		t.Fatal("the successor's adverts do not reach the old node")
	}
	took := successor[0].At.Sub(at)
	t.Logf("successor's first advert %v after the signal, daemon ended after %v; client: %v", took, gone.Sub(at), r)
	if took > 200*time.Millisecond+r.Allowance() {
		t.Errorf("takeover after %v, want under 200 ms", took)
	}
	if r.Lost > 20 {
		t.Errorf("client lost %d pings, want at most 20", r.Lost)
	}
	onlyGoodbye(t, frames.FromHost().After(at))
	if got := p.segment.Learned(vmac); got != p.portB.Name {
		t.Errorf("after the takeover the switch believes the virtual MAC behind %q, want %q", got, p.portB.Name)
	}
	assertNothingLeft(t, p.a, clean)
	assertFilter(t, p.a, false)
	assertFilter(t, p.b, true)

	// And back: the one that preempts makes a BACKUP of the other, which gives its filter's entry up.
	p.a.Start()
	p.a.WaitAnswering(group, upTimeout)
	p.b.WaitState(group, lab.Backup, patience)
	assertFilter(t, p.a, true)
	p.Eventually(patience, 5*time.Millisecond, func() (bool, string) {
		return len(p.b.UnicastFilter("eth0")) == 0, "the virtual MAC leaves the filter of a BACKUP"
	})
}

// onlyGoodbye returns the one goodbye among the frames that a host sent since it was told to give up: its last advert.
// One that was due may leave before it.
func onlyGoodbye(t *testing.T, sent lab.Frames) lab.Frame {
	t.Helper()
	adverts := sent.Adverts(vhid)
	goodbyes := adverts.Where(func(f lab.Frame) bool { ad, _ := f.Advert(); return ad.Goodbye() })
	if len(goodbyes) != 1 || len(adverts) > 2 {
		t.Fatalf("want one goodbye, got:\n%v", adverts)
	}
	if later := adverts.After(goodbyes[0].At); len(later) > 0 {
		t.Errorf("adverts after the goodbye:\n%v", later)
	}
	return goodbyes[0]
}

// assertFilter checks that the NIC takes frames to the virtual MAC, as it does for a MASTER, or not.
func assertFilter(t *testing.T, n *lab.Node, want bool) {
	t.Helper()
	filter := n.UnicastFilter("eth0")
	if got := slices.Contains(filter, net.HardwareAddr(vmac[:]).String()); got != want {
		t.Errorf("%s: the virtual MAC is in the NIC's filter: %v, want %v (%v)", n.Name, got, want, filter)
	}
}

// A backup that is stopped says nothing: there is nothing to hand over.
func TestStoppedBackupSaysNoGoodbye(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(10))
	clean := p.b.Snapshot()
	p.start()
	sniffer := p.portB.Sniff()
	since := p.a.Group(group).Since
	p.b.Stop()
	time.Sleep(1500 * time.Millisecond)
	frames := sniffer.Frames()
	if said := frames.FromHost().Speaking(vip, vmac); len(said) > 0 {
		t.Errorf("the backup spoke:\n%v", said)
	}
	if len(frames.ToHost().Adverts(vhid)) == 0 {
		t.Error("no advert was seen at all: the test proves nothing")
	}
	if g := p.a.Group(group); g.State != lab.Master || !sameTime(g.Since, since) {
		t.Errorf("the master is %s since %v, was MASTER since %v", g.State, g.Since, since)
	}
	assertNothingLeft(t, p.b, clean)
}

// What a killed daemon left is removed by vipd --cleanup: addresses, filter, memberships, programs, pins.
func TestCleanupRemovesWhatAKilledDaemonLeft(t *testing.T) {
	t.Parallel()
	for _, egress := range []string{"", "clsact"} {
		name := egress
		if name == "" {
			name = "tcx"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSingle(t, lab.NodeConfig{Groups: []lab.Group{{Addresses: []string{"198.51.100.100/24"}}}})
			clean := s.node.Snapshot()
			s.node.Env = []string{"VIPD_EGRESS=" + egress}
			s.node.Start()
			s.node.WaitAnswering(group, upTimeout)
			s.node.Kill9()
			if _, err := os.Stat(s.node.BPFDir()); err != nil {
				t.Errorf("a killed daemon left no pins: %v; the test proves nothing", err)
			}
			assertPrograms(t, s.node.Host, true)
			t.Log(s.node.Cleanup())
			assertNothingLeft(t, s.node, clean)
			s.node.Cleanup() // and again, with nothing there
			s.node.Start()
			s.node.WaitState(group, lab.Backup, patience)
			s.node.Stop()
			assertNothingLeft(t, s.node, clean)
		})
	}
}

// A daemon started after a killed one, without any clean-up, works, and the old one's leavings go when it stops.
func TestRestartAfterKill9LeavesNothing(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	clean := s.node.Snapshot()
	s.startMaster()
	s.node.Kill9()
	s.node.Start()
	s.node.WaitAnswering(group, upTimeout)
	if n := len(s.clientPort.AnswersARP(addrClient, vip, 200*time.Millisecond)); n != 1 {
		t.Errorf("%d answers to an ARP request, want 1", n)
	}
	s.node.Stop()
	assertNothingLeft(t, s.node, clean)
}

func assertNothingLeft(t *testing.T, n *lab.Node, clean lab.Snapshot) {
	t.Helper()
	if diff := cmp.Diff(clean, n.Snapshot()); diff != "" {
		t.Errorf("the host of %s is not as before (-before +after):\n%s", n.Name, diff)
	}
	if entries, err := os.ReadDir(n.BPFDir()); !os.IsNotExist(err) {
		t.Errorf("pins are left in %s: %v %v", n.BPFDir(), names(entries), err)
	}
	if _, err := os.Stat(n.Socket()); !os.IsNotExist(err) {
		t.Errorf("the socket %s is left: %v", n.Socket(), err)
	}
	assertPrograms(t, n.Host, false)
}

// assertPrograms checks that eth0 has a receiving and an egress program, or neither.
func assertPrograms(t *testing.T, h *lab.Host, want bool) {
	t.Helper()
	if got := receives(t, h, "eth0"); got != want {
		t.Errorf("%s: receiving program attached: %v, want %v", h.Name, got, want)
	}
	var tcx bool
	ifindex := h.IfIndex("eth0")
	err := h.Within(func() error {
		q, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: ebpf.AttachTCXEgress})
		tcx = err == nil && len(q.Programs) > 0
		return err
	})
	if err != nil {
		t.Errorf("%s: ask for egress programs: %v", h.Name, err)
	}
	if got := tcx || h.ClsactFilters("eth0") > 0; got != want {
		t.Errorf("%s: egress program attached: %v, want %v", h.Name, got, want)
	}
}

func names(entries []fs.DirEntry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// timeout(1) sends SIGTERM twice, and Ctrl-C goes to the whole process group: signals in a row are one, and the stop
// takes everything off the host. The MASTER still waits for a successor when they arrive.
func TestSignalsInARowAreOne(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	clean := s.node.Snapshot()
	s.startMaster()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM, syscall.SIGINT, syscall.SIGTERM} {
		s.node.Proc().Signal(signal)
		time.Sleep(20 * time.Millisecond) // each is delivered
	}
	if !s.node.Proc().Running() {
		t.Error("the daemon ended before it could hand over: the test proves nothing, or the second signal killed it")
	}
	if code := s.node.Proc().Wait(patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	assertNothingLeft(t, s.node, clean)
}
