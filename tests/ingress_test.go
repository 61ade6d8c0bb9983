// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// onTC reports whether the data plane works on tc ingress.
func onTC(g lab.GroupStatus) bool { return g.Dataplane.Mode == "tc" }

// ingressPrograms counts what is on the interface's tc ingress.
func ingressPrograms(t *testing.T, h *lab.Host, ifname string) (n int) {
	t.Helper()
	ifindex := h.IfIndex(ifname)
	if err := h.Within(func() error {
		if q, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: ebpf.AttachTCXIngress}); err == nil {
			n += len(q.Programs) // before Linux 6.6 there is no tcx
		}
		dev := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}
		if filters, err := netlink.FilterList(dev, netlink.HANDLE_MIN_INGRESS); err == nil {
			n += len(filters) // else there is no clsact
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// receives reports whether a program is on the interface that sees what arrives: XDP or tc ingress.
func receives(t *testing.T, h *lab.Host, ifname string) bool {
	t.Helper()
	return h.XDPProgram(ifname) != 0 || ingressPrograms(t, h, ifname) > 0
}

// When the other XDP program has gone for good, vipd is back on XDP without a restart: no ping is lost or answered
// twice, and no role moves. While the other one only restarts it finds its slot free.
func TestReturnToXDPMovesNothing(t *testing.T) {
	t.Parallel()
	p := newPair(t, inMode("generic", oneVIP(0)), inMode("generic", oneVIP(100)))
	theirs := map[*lab.Node]link.Link{}
	for _, n := range []*lab.Node{p.a, p.b} {
		theirs[n] = attachForeign(t, n.Host, "eth0")
	}
	p.start()
	a, b := p.a.Group(group), p.b.Group(group)
	if !onTC(a) || !onTC(b) {
		t.Fatalf("not behind the other program: %+v, %+v", a.Dataplane, b.Dataplane)
	}
	before := []float64{transitions(p.a), transitions(p.b)}
	pinger := p.client.Ping(vip, 5*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)

	theirs[p.a].Close()
	time.Sleep(2 * time.Second)
	if g := p.a.Group(group); !onTC(g) || p.a.XDPProgram("eth0") != 0 {
		t.Errorf("the slot was taken at once: %+v", g.Dataplane)
	}
	theirs[p.a] = attachForeign(t, p.a.Host, "eth0") // which fails if it is taken
	time.Sleep(1500 * time.Millisecond)              // it is seen, so that the slot has to be free for as long again

	var gone time.Time
	for n, l := range theirs {
		l.Close()
		gone = time.Now()
		t.Logf("%s: the other program has gone for good", n.Name)
	}
	for _, n := range []*lab.Node{p.a, p.b} {
		g := n.WaitFor(group, "is on XDP", patience, func(g lab.GroupStatus) bool { return g.Dataplane.Mode == "generic" })
		t.Logf("%s: back on XDP %v after the other program had gone", n.Name, time.Since(gone))
		if g.Dataplane.Note != "" {
			t.Errorf("%s: still says %q", n.Name, g.Dataplane.Note)
		}
		p.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
			return ingressPrograms(t, n.Host, "eth0") == 0, "tc ingress has nothing any more"
		})
		if !strings.Contains(n.Proc().Output(), "xdp has taken over from tc ingress") {
			t.Errorf("%s: the log does not say so", n.Name)
		}
		if m := n.Metrics(); !strings.Contains(m, `vipd_xdp_info{interface="eth0",mode="generic"} 1`) ||
			!strings.Contains(m, `vipd_programs_lost_total{hook="xdp",interface="eth0"} 0`) {
			t.Errorf("%s: the metrics do not tell", n.Name)
		}
	}
	time.Sleep(1500 * time.Millisecond) // an advert is heard by XDP alone
	r := pinger.Stop()
	t.Logf("client: %v", r)
	if r.Lost > 0 || r.Doubles > 0 {
		t.Errorf("client: %v", r)
	}
	if g := p.a.Group(group); g.State != lab.Master || !sameTime(g.Since, a.Since) {
		t.Errorf("a is %s since %v, was %s since %v", g.State, g.Since, a.State, a.Since)
	}
	if g := p.b.Group(group); g.State != lab.Backup || !sameTime(g.Since, b.Since) || g.Counters.Rejected["replay"] != 0 {
		t.Errorf("b is %s since %v, was %s since %v; %+v", g.State, g.Since, b.State, b.Since, g.Counters.Rejected)
	}
	if after := []float64{transitions(p.a), transitions(p.b)}; !slices.Equal(before, after) {
		t.Errorf("transitions: %v, then %v", before, after)
	}
	killed := p.a.Kill9() // control: b hears by XDP
	p.b.WaitAnswering(group, patience)
	t.Logf("b took over %v after kill -9 of a", time.Since(killed))
}

// A vipd that is killed on tc ingress and started within its lease, when the other program has gone meanwhile, goes on
// by XDP at once, in its role and without a lost ping; and vipd --cleanup removes what one leaves.
func TestKilledOnIngressStartsOnXDP(t *testing.T) {
	t.Parallel()
	p := newPair(t, inMode("generic", oneVIP(0)), inMode("generic", oneVIP(100)))
	asShipped(t, p.a, p.b)
	clean := p.a.Snapshot()
	theirs := attachForeign(t, p.a.Host, "eth0")
	defer theirs.Close()
	p.start()
	a, b := p.a.Group(group), p.b.Group(group)
	if !onTC(a) {
		t.Fatalf("a is not on tc ingress: %+v", a.Dataplane)
	}
	pinger := p.client.Ping(vip, 5*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)
	p.a.Kill9()
	theirs.Close()
	if n := ingressPrograms(t, p.a.Host, "eth0"); n == 0 {
		t.Error("the killed one has left nothing on tc ingress: the test proves nothing")
	}
	time.Sleep(300 * time.Millisecond)
	p.a.Start()
	g := p.a.WaitAnswering(group, patience)
	if g.Dataplane.Mode != "generic" || g.Generation != a.Generation || transitions(p.a) != 0 {
		t.Errorf("started as %s of generation %d, was %d, with %v transitions: %+v",
			g.State, g.Generation, a.Generation, transitions(p.a), g.Dataplane)
	}
	p.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
		return ingressPrograms(t, p.a.Host, "eth0") == 0, "tc ingress has nothing any more"
	})
	time.Sleep(1500 * time.Millisecond)
	if r := pinger.Stop(); r.Lost > 0 || r.Doubles > 0 {
		t.Errorf("client: %v", r)
	}
	if got := p.b.Group(group); got.State != lab.Backup || !sameTime(got.Since, b.Since) {
		t.Errorf("b is %s since %v, was BACKUP since %v", got.State, got.Since, b.Since)
	}

	// And once more the other way: killed behind it, and cleaned up.
	p.a.Stop()
	theirs = attachForeign(t, p.a.Host, "eth0")
	defer theirs.Close()
	p.a.Start()
	p.a.WaitFor(group, "is on tc ingress", patience, onTC)
	p.a.Kill9()
	theirs.Close()
	p.a.Cleanup()
	if n := ingressPrograms(t, p.a.Host, "eth0"); n != 0 {
		t.Errorf("%d programs are left on tc ingress", n)
	}
	assertNothingLeft(t, p.a, clean)
}

// detach takes one of the node's programs off eth0, as `bpftool link detach` does.
func detach(t *testing.T, n *lab.Node, hook string) time.Time {
	t.Helper()
	pins, err := filepath.Glob(filepath.Join(n.BPFDir(), "v*", fmt.Sprintf("link-%d-%s", n.IfIndex("eth0"), hook)))
	if err != nil || len(pins) != 1 {
		t.Fatalf("%s: pins of the %s link: %v, %v", n.Name, hook, pins, err)
	}
	l, err := link.LoadPinnedLink(pins[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := time.Now()
	if err := l.Detach(); err != nil {
		t.Fatal(err)
	}
	return at
}

// Whatever somebody takes off is back within a second, on the master and on the backup, and no role moves; it is
// counted, logged and shown. Who then takes the slot has it, and vipd goes on beside him.
func TestProgramsTakenOffComeBack(t *testing.T) {
	t.Parallel()
	p := newPair(t, inMode("generic", oneVIP(0)), inMode("generic", oneVIP(100)))
	p.start()
	if p.a.Group(group).Dataplane.Egress != "tcx" {
		t.Skip("no tcx before Linux 6.6, so no link of the fence; the loader's own tests delete filters")
	}
	a, b := p.a.Group(group), p.b.Group(group)
	if code, out := p.a.Run(toolTimeout, "ip", "link", "set", "dev", "eth0", "xdpgeneric", "off"); code == 0 {
		t.Errorf("`ip link set xdpgeneric off` takes our program off: %s", out)
	}
	lost := map[string]float64{"xdp": 2, "egress": 1}
	for _, n := range []*lab.Node{p.a, p.b} {
		for _, hook := range []string{"xdp", "egress", "xdp"} {
			before := n.Group(group).Dataplane.ProgramsLost
			at := detach(t, n, hook)
			n.WaitFor(
				group,
				"has "+hook+" again",
				2*time.Second,
				func(g lab.GroupStatus) bool { return g.Dataplane.ProgramsLost > before },
			)
			t.Logf("%s: %s was back and told %v after it was detached", n.Name, hook, time.Since(at))
			assertPrograms(t, n.Host, true)
		}
		m := n.Metrics()
		for hook, times := range lost {
			if got := metric(m, `vipd_programs_lost_total{hook="`+hook+`",interface="eth0"}`); got != times {
				t.Errorf("%s: %v lost on %s, want %v", n.Name, got, hook, times)
			}
		}
		if c := strings.Count(n.Proc().Output(), "detached our programs"); c != 1 {
			t.Errorf("%s: the log says it %d times in a minute, want once", n.Name, c)
		}
		if code, out := n.CTL("show", group); code != 0 ||
			!strings.Contains(out, "detached by another process and reattached: 3") {
			t.Errorf("%s: show: exit code %d\n%s", n.Name, code, out)
		}
	}
	time.Sleep(4 * time.Second) // longer than the master-down time
	if g := p.a.Group(group); g.State != lab.Master || !sameTime(g.Since, a.Since) {
		t.Errorf("a is %s since %v, was MASTER since %v", g.State, g.Since, a.Since)
	}
	if g := p.b.Group(group); g.State != lab.Backup || !sameTime(g.Since, b.Since) {
		t.Errorf("b is %s since %v, was BACKUP since %v", g.State, g.Since, b.Since)
	}

	// Another program takes the slot.
	p.a.Pause() // or the slot is taken again in between
	detach(t, p.a, "xdp")
	theirs := attachForeign(t, p.a.Host, "eth0")
	p.a.Resume()
	g := p.a.WaitFor(group, "is on tc ingress", patience, onTC)
	if g.State != lab.Master || !sameTime(g.Since, a.Since) || !strings.Contains(g.Dataplane.Note, "someone_else") {
		t.Errorf("displaced: %s since %v: %+v", g.State, g.Since, g.Dataplane)
	}
	pinger := p.client.Ping(vip, 10*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)
	if r := pinger.Stop(); r.Doubles > 0 {
		t.Errorf("client: %v", r)
	}
	theirs.Close()
	p.a.Stop()
}
