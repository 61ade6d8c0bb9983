// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/binary"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"vipd/tests/lab"

	"github.com/cilium/ebpf"
)

// leave makes the daemon leave without goodbye, as `vipctl restart` and package upgrades do.
func leave(t *testing.T, n *lab.Node) time.Time {
	t.Helper()
	at := n.Proc().Signal(syscall.SIGUSR2)
	if code := n.Proc().Wait(patience); code != 0 {
		t.Errorf("vipd on %s ended with exit code %d after SIGUSR2", n.Name, code)
	}
	return at
}

// A master that is killed, or leaves, and is started again within its lease is master all the time: neither node makes
// a transition, the kernel answers throughout, and the other node never says a word.
func TestRestartWithinTheLeaseMovesNothing(t *testing.T) {
	t.Parallel()
	inModes(t, restartWithinTheLeaseMovesNothing)
}

func restartWithinTheLeaseMovesNothing(t *testing.T, mode string) {
	p := newPair(t, inMode(mode, oneVIP(0)), inMode(mode, oneVIP(10)))
	asShipped(t, p.a, p.b)
	p.start()
	a, b := p.a.Group(group), p.b.Group(group)
	from, other := p.portA.Sniff(), p.portB.Sniff()
	pinger := p.client.Ping(vip, 5*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)
	began := time.Now()
	for round := range 4 {
		how := "killed"
		if round%2 == 0 {
			p.a.Kill9()
		} else {
			how = "left"
			leave(t, p.a)
		}
		time.Sleep(500 * time.Millisecond)
		started := p.a.Start()
		g := p.a.WaitAnswering(group, patience)
		t.Logf("%s: the new process answered its socket and was MASTER %v after its start", how, time.Since(started))
		if g.Generation != a.Generation {
			t.Errorf("%s: generation %d, was %d", how, g.Generation, a.Generation)
		}
		if n := transitions(p.a); n != 0 {
			t.Errorf("%s: the new process made %v transitions", how, n)
		}
		next := from.Await(patience, "an advert of the new process", func(f lab.Frame) bool {
			ad, ok := f.Advert()
			return ok && f.FromHost && ad.VHID == vhid && f.At.After(started)
		})
		t.Logf("%s: next advert %v after the start", how, next.At.Sub(started))
		time.Sleep(time.Until(started.Add(1500 * time.Millisecond)))
	}
	if got := p.b.Group(group); got.State != lab.Backup || !sameTime(got.Since, b.Since) {
		t.Errorf("b is %s (%s) since %v, was BACKUP since %v", got.State, got.Reason, got.Since, b.Since)
	}
	r := pinger.Stop()
	t.Logf("client: %v", r)
	if r.Lost > 0 || r.Doubles > 0 {
		t.Errorf("client: %v", r)
	}
	if spoken := other.Frames().FromHost().After(began).Speaking(vip, vmac); len(spoken) > 0 {
		t.Errorf("b spoke for the VIP:\n%v", spoken)
	}
	for _, f := range from.Frames().FromHost().Adverts(vhid) {
		if ad, _ := f.Advert(); ad.Goodbye() {
			t.Errorf("a said goodbye: %v", f)
		}
	}
	// It is a master like any other: a clean stop leaves nothing.
	p.a.Stop()
	p.b.WaitAnswering(group, time.Second)
	if p.a.HasAddress("eth0", vip) {
		t.Error("a still has the address after the stop")
	}
	assertPrograms(t, p.a.Host, false)
}

// The same over both families with the egress filter of kernels before 6.6, which has no link that could be pinned: the
// next process finds it by its name and puts its program in the place of the old.
func TestRestartWithClsactMovesNothing(t *testing.T) {
	t.Parallel()
	inModes(t, restartWithClsactMovesNothing)
}

func restartWithClsactMovesNothing(t *testing.T, mode string) {
	p := newPairWith(t, []string{"/24", "/64"}, inMode(mode, dualStack(0)), inMode(mode, dualStack(10)))
	p.a.Env = []string{"VIPD_EGRESS=clsact"}
	asShipped(t, p.a, p.b)
	p.startNaturally()
	b := p.b.Group(group)
	from := p.portA.Sniff()
	pingers := []*lab.Pinger{p.client.Ping(vip, 5*time.Millisecond), p.client.Ping(vip6, 5*time.Millisecond)}
	for _, pinger := range pingers {
		pinger.AwaitAnswer(time.Now(), patience)
	}
	for _, end := range []func(){func() { p.a.Kill9() }, func() { leave(t, p.a) }} {
		if n := p.a.ClsactFilters("eth0"); n != 1 {
			t.Errorf("%d filters on egress, want one", n)
		}
		end()
		p.a.Start()
		p.a.WaitAnswering(group, patience)
		if n := transitions(p.a); n != 0 {
			t.Errorf("the new process made %v transitions", n)
		}
		time.Sleep(1200 * time.Millisecond)
	}
	for _, pinger := range pingers {
		if r := pinger.Stop(); r.Lost > 0 || r.Doubles > 0 {
			t.Errorf("client: %v", r)
		}
	}
	if got := p.b.Group(group); got.State != lab.Backup || !sameTime(got.Since, b.Since) {
		t.Errorf("b is %s (%s) since %v, was BACKUP since %v", got.State, got.Reason, got.Since, b.Since)
	}
	byNIC := from.Frames().FromHost().Where(func(f lab.Frame) bool {
		a, isARP := f.ARP()
		n, isND := f.ND()
		return f.Src() != vmac && (isARP && a.SenderIP == vip || isND && n.Type == lab.NDAdvertisement && n.Target == vip6)
	})
	if len(byNIC) > 0 {
		t.Errorf("said for the addresses by the NIC's own MAC:\n%v", byNIC)
	}
	p.a.Stop()
	assertPrograms(t, p.a.Host, false)
}

// transitions returns how many transitions the node's present process has counted.
func transitions(n *lab.Node) (sum float64) { return transitionsWith(n, "") }

// transitionsWith returns how many of them have these labels.
func transitionsWith(n *lab.Node, labels string) (sum float64) {
	for line := range strings.Lines(n.Metrics()) {
		name, _, _ := strings.Cut(line, "} ")
		if strings.HasPrefix(name, "vipd_transitions_total{") && strings.Contains(name, labels) {
			sum += metric(line, name+"}")
		}
	}
	return sum
}

// A backup that is restarted goes on as BACKUP; the master takes no notice, and it still takes over in its time.
func TestRestartedBackupGoesOn(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(10))
	p.start()
	a := p.a.Group(group)
	other := p.portB.Sniff()
	for range 2 {
		p.b.Kill9()
		time.Sleep(300 * time.Millisecond)
		p.b.Start()
		p.b.WaitFor(group, "is BACKUP and hears a", patience, hearsMaster)
	}
	if got := p.a.Group(group); got.State != lab.Master || !sameTime(got.Since, a.Since) {
		t.Errorf("a is %s (%s) since %v", got.State, got.Reason, got.Since)
	}
	if spoken := other.Frames().FromHost().Speaking(vip, vmac); len(spoken) > 0 {
		t.Errorf("b spoke for the VIP:\n%v", spoken)
	}
	killed := p.a.Kill9()
	first := other.FirstSpeaking(killed, patience, vip, vmac)
	t.Logf("it took over %v after kill -9 of the master", first.At.Sub(killed))
}

// Past its lease a restarted master is BACKUP, and without preemption it stays that.
func TestRestartPastTheLeaseIsBackup(t *testing.T) {
	t.Parallel()
	p := newPair(t, noPreempt(oneVIP(0)), noPreempt(oneVIP(10)))
	p.start()
	was := p.a.Group(group)
	killed := p.a.Kill9()
	p.b.WaitAnswering(group, patience)
	time.Sleep(time.Until(killed.Add(5 * time.Second)))
	from := p.portA.Sniff()
	since := p.b.Group(group).Since
	p.a.Start()
	p.a.WaitFor(group, "hears b", patience, hearsMaster)
	time.Sleep(4 * time.Second)
	if g := p.a.Group(group); g.State != lab.Backup || p.a.HasAddress("eth0", vip) {
		t.Errorf("a is %s (%s) and has the address: %v", g.State, g.Reason, p.a.HasAddress("eth0", vip))
	}
	assertFilter(t, p.a, false)
	assertFilter(t, p.b, true)
	if g := p.b.Group(group); g.State != lab.Master || !sameTime(g.Since, since) {
		t.Errorf("b is %s (%s) since %v", g.State, g.Reason, g.Since)
	}
	if spoken := from.Frames().FromHost().Speaking(vip, vmac); len(spoken) > 0 {
		t.Errorf("a spoke for the VIP:\n%v", spoken)
	}
	// A generation is never used twice: an old yield would count against the new one.
	p.b.Kill9()
	if g := p.a.WaitAnswering(group, patience); g.Generation <= was.Generation {
		t.Errorf("generation %d after %d", g.Generation, was.Generation)
	}
}

// What is not in the config any more when the new process starts goes, address before fence, and the rest goes on.
func TestRestartRemovesWhatTheConfigNoLongerHas(t *testing.T) {
	t.Parallel()
	second, third := netip.MustParseAddr("192.0.2.101"), netip.MustParseAddr("192.0.2.200")
	config := func(addresses []string, more ...lab.Group) lab.NodeConfig {
		return lab.NodeConfig{Groups: append([]lab.Group{{Addresses: addresses}}, more...)}
	}
	one, two := []string{"192.0.2.100/24"}, []string{"192.0.2.100/24", "192.0.2.101/24"}
	s := newSingle(t, config(two, lab.Group{VHID: 2, Addresses: []string{"192.0.2.200/24"}}))
	asShipped(t, s.node)
	from := s.port.Sniff()
	s.node.Start()
	s.node.WaitAnswering(group, upTimeout)
	s.node.WaitAnswering("eth0@2", patience)
	pinger := s.client.Ping(vip, 5*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)
	s.node.Kill9()
	s.node.WriteConfig(config(one))
	s.node.Start()
	g := s.node.WaitAnswering(group, patience)
	if n := transitions(s.node); n != 0 {
		t.Errorf("%v transitions; it is %s (%s)", n, g.State, g.Reason)
	}
	done := time.Now()
	if got, want := s.node.UnicastFilter("eth0"), []string{net.HardwareAddr(vmac[:]).String()}; !slices.Equal(got, want) {
		t.Errorf("the NIC's filter has %v, want %v", got, want)
	}
	for _, gone := range []netip.Addr{second, third} {
		if s.node.HasAddress("eth0", gone) {
			t.Errorf("%v is still there", gone)
		}
		if replies := s.clientPort.AskARP(addrClient, gone, 150*time.Millisecond); len(replies) > 0 {
			t.Errorf("a host answers for %v:\n%v", gone, replies)
		}
	}
	if n := len(s.clientPort.AnswersARP(addrClient, vip, 150*time.Millisecond)); n != 1 {
		t.Errorf("%d answers for the VIP", n)
	}
	if r := pinger.Stop(); r.Lost > 0 {
		t.Errorf("client: %v", r)
	}
	if spoken := from.Frames().FromHost().After(done).Adverts(2); len(spoken) > 0 {
		t.Errorf("the group that was taken out still speaks:\n%v", spoken)
	}
	s.node.Stop()
}

// The route to a prefix of the VIP's own goes on with its group, also when another group on the interface goes, and is
// removed at the end.
func TestRestartKeepsRoutes(t *testing.T) {
	t.Parallel()
	kept := lab.Group{Addresses: []string{"198.51.100.100/24"}}
	s := newSingle(t, lab.NodeConfig{Groups: []lab.Group{kept, {VHID: 2, Addresses: []string{"203.0.113.100/24"}}}})
	asShipped(t, s.node)
	clean := s.node.Snapshot()
	routes := func() string { return s.node.MustRun(toolTimeout, "ip", "-4", "route") }
	s.node.Start()
	s.node.WaitAnswering(group, upTimeout)
	s.node.WaitAnswering("eth0@2", patience)
	if got := routes(); !strings.Contains(got, "198.51.100.0/24") || !strings.Contains(got, "203.0.113.0/24") {
		t.Fatalf("no routes to the prefixes: the test proves nothing\n%s", got)
	}
	for _, groups := range [][]lab.Group{s.node.Config.Groups, {kept}} {
		s.node.Kill9()
		s.node.WriteConfig(lab.NodeConfig{Groups: groups})
		s.node.Start()
		s.node.WaitAnswering(group, patience)
		if n := transitions(s.node); n != 0 {
			t.Errorf("%v transitions, want none: it goes on", n)
		}
		if got := routes(); !strings.Contains(got, "198.51.100.0/24") ||
			strings.Contains(got, "203.0.113.0/24") != (len(groups) == 2) {
			t.Errorf("with %d groups the routes are:\n%s", len(groups), got)
		}
	}
	s.node.Stop()
	assertNothingLeft(t, s.node, clean)
}

// Pins of another layout are removed, addresses first, and the node starts as BACKUP.
func TestPinsOfAnotherLayoutAreRemoved(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	clean := s.node.Snapshot()
	s.startMaster()
	s.node.Kill9()
	var meta string
	if err := filepath.WalkDir(s.node.BPFDir(), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "meta" {
			meta = path
		}
		return err
	}); err != nil || meta == "" {
		t.Fatalf("no pin of the layout version below %s: %v", s.node.BPFDir(), err)
	}
	m, err := ebpf.LoadPinnedMap(meta, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	value := make([]byte, m.ValueSize())
	binary.NativeEndian.PutUint32(value, 4711)
	if err := m.Put(uint32(0), value); err != nil {
		t.Fatal(err)
	}
	from := s.port.Sniff()
	started := s.node.Start()
	g := s.node.WaitState(group, lab.Backup, patience)
	if s.node.HasAddress("eth0", vip) {
		t.Error("the address is still there")
	}
	if out := s.node.Proc().Output(); !strings.Contains(out, "4711") {
		t.Errorf("the log does not name the layout:\n%s", out)
	}
	first := from.FirstSpeaking(started, upTimeout, vip, vmac)
	if took := first.At.Sub(started); took < masterDown {
		t.Errorf("spoke %v after the start (%s)", took, g.Reason)
	}
	s.node.WaitAnswering(group, patience)
	s.node.Stop()
	assertNothingLeft(t, s.node, clean)
}
