// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vipd/tests/lab"
)

// Two nodes of equal priority started at the same moment: at most one is MASTER after two master-down times, and stays
// it.
func TestEqualNodesStartedTogetherAgreeOnOneMaster(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(0))
	p.a.Launch()
	p.b.Launch()
	for _, n := range []*lab.Node{p.a, p.b} { // on a busy machine this may take seconds
		p.Eventually(patience, 10*time.Millisecond, func() (bool, string) {
			st, err := n.TryStatus()
			return err == nil && st.Groups[0].State != lab.Init, fmt.Sprintf("%s has started: %v", n.Name, err)
		})
	}
	time.Sleep(2*masterDown + time.Second)
	for range 10 {
		p.assertOneMaster(t)
		time.Sleep(200 * time.Millisecond)
	}
}

// A partition makes two masters; when it heals one of them yields at the first advert, and there is one owner again.
func TestHealedPartitionLeavesOneMaster(t *testing.T) {
	t.Parallel()
	inModes(t, healedPartitionLeavesOneMaster)
}

func healedPartitionLeavesOneMaster(t *testing.T, mode string) {
	for _, skew := range []int{0, 10} {
		p := newPair(t, inMode(mode, oneVIP(0)), inMode(mode, oneVIP(skew)))
		p.start()
		p.portB.SetConnected(false)
		p.b.WaitAnswering(group, patience)
		if !p.a.Group(group).Dataplane.Answering {
			t.Error("a has lost its address to a partition: the test proves nothing")
		}
		healed := time.Now()
		p.portB.SetConnected(true)
		p.Eventually(skewed(skew)+2*time.Second, 10*time.Millisecond, func() (bool, string) {
			a, b := p.a.Group(group), p.b.Group(group)
			return a.Dataplane.Answering != b.Dataplane.Answering, fmt.Sprintf("one master; a is %s, b is %s", a.State, b.State)
		})
		t.Logf("skews 0 and %d: one master %v after the partition healed", skew, time.Since(healed).Round(time.Millisecond))
		time.Sleep(2 * time.Second)
		p.assertOneMaster(t)
	}
}

// assertOneMaster checks that one node is MASTER and answers, and that the client gets one answer.
func (p *pair) assertOneMaster(t *testing.T) {
	t.Helper()
	a, b := p.a.Group(group), p.b.Group(group)
	if a.Dataplane.Answering == b.Dataplane.Answering || (a.State == lab.Master) == (b.State == lab.Master) {
		t.Errorf(
			"a is %s (answering %v), b is %s (answering %v)",
			a.State,
			a.Dataplane.Answering,
			b.State,
			b.Dataplane.Answering,
		)
	}
	if replies := p.clientPort.AnswersARP(addrClient, vip, 50*time.Millisecond); len(replies) != 1 {
		t.Errorf("%d answers for the VIP, want 1", len(replies))
	}
}

// Two groups on one interface with opposite skews: each node is MASTER of one, and the failure of a node moves only its
// own.
func TestTwoGroupsWithOppositeSkewsShareTheLoad(t *testing.T) {
	t.Parallel()
	groups := func(first, second int) lab.NodeConfig {
		return lab.NodeConfig{Groups: []lab.Group{
			{VHID: 1, Addresses: []string{vip.String() + "/24"}, AdvSkew: first},
			{VHID: 2, Addresses: []string{"192.0.2.200/24"}, AdvSkew: second},
		}}
	}
	p := newPair(t, groups(0, 50), groups(50, 0))
	p.a.Start()
	p.b.Start()
	p.a.WaitAnswering("eth0@1", upTimeout)
	p.b.WaitAnswering("eth0@2", upTimeout)
	p.a.WaitState("eth0@2", lab.Backup, patience)
	p.b.WaitState("eth0@1", lab.Backup, patience)
	since := p.b.Group("eth0@2").Since
	p.a.Kill9()
	p.b.WaitAnswering("eth0@1", patience)
	if g := p.b.Group("eth0@2"); g.State != lab.Master || !sameTime(g.Since, since) {
		t.Errorf("the other group moved too: %s since %v", g.State, g.Since)
	}
}

// The period of the adverts is advbase + advskew/256 s.
func TestAdvertPeriodFollowsTheSkew(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(100))
	sniffer, stalls := s.port.Sniff(), s.WatchStalls()
	s.startMaster()
	const period = time.Second + 100*time.Second/256
	var adverts lab.Frames
	s.Eventually(patience, 50*time.Millisecond, func() (bool, string) {
		adverts = sniffer.Frames().FromHost().Adverts(vhid)
		return len(adverts) >= 4, "four adverts"
	})
	for i := 1; i < len(adverts); i++ {
		got := adverts[i].At.Sub(adverts[i-1].At)
		t.Log(got)
		if late := stalls.Allowance(); got < period-20*time.Millisecond-late || got > period+100*time.Millisecond+late {
			t.Errorf("period %v, want %v", got, period)
		}
	}
}

// One VIP without a file: the flags alone make a node. Its paths are the standard ones, so it gets file systems of its
// own.
func TestOneVIPWithoutAFile(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	sniffer := s.port.Sniff()
	clean := s.node.Snapshot()
	script := "mount -t tmpfs none /run && mount -t tmpfs none /var/lib && mount -t bpf none /sys/fs/bpf && exec " +
		filepath.Join(bin(t), "vipd") + " --interface eth0 --vhid 1 --address " + vip.String() +
		"/24 --advskew 3 --password-file " + s.node.KeyFile("eth0", 1)
	started := time.Now()
	p := s.node.Spawn("vipd", "unshare", "--mount", "sh", "-c", script)
	first := sniffer.FirstSpeaking(started, upTimeout, vip, vmac)
	if ad, ok := first.Advert(); !ok || ad.AdvSkew != 3 || ad.AdvBase != 1 {
		t.Errorf("its first word is %v", first)
	}
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(patience); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	assertNothingLeft(t, s.node, clean)
}

// What an authentic advert does, as on the BSDs: in MASTER a better or equal one deposes, in BACKUP a worse one is
// preempted if preemption is on, and one that says the next comes too late is always taken over from.
func TestAdvertsMoveTheStateAsOnTheBSDs(t *testing.T) {
	t.Parallel()
	inModes(t, advertsMoveTheStateAsOnTheBSDs)
}

func advertsMoveTheStateAsOnTheBSDs(t *testing.T, mode string) {
	const skew = 100
	type row struct {
		name               string
		from               string
		base, advskew      uint8
		preempt, noPreempt string // the state it leads to
		reason             string // of the transition, where there is one
	}
	rows := []row{
		{"better", lab.Master, 1, skew - 1, lab.Backup, lab.Backup, "better_advert"},
		{"equal", lab.Master, 1, skew, lab.Backup, lab.Backup, "equal_advert"},
		{"worse", lab.Master, 1, skew + 1, lab.Master, lab.Master, ""},
		{"goodbye", lab.Master, 255, 255, lab.Master, lab.Master, ""},
		{"better", lab.Backup, 1, skew - 1, lab.Backup, lab.Backup, ""},
		{"equal", lab.Backup, 1, skew, lab.Backup, lab.Backup, ""},
		{"worse", lab.Backup, 1, skew + 1, lab.Master, lab.Backup, "preempt"},
		{"goodbye", lab.Backup, 255, 255, lab.Master, lab.Master, "goodbye"},
		{"will time out", lab.Backup, 4, 0, lab.Master, lab.Master, ""},
	}
	for _, preempt := range []bool{true, false} {
		config := oneVIP(skew)
		config.NoPreempt, config.Mode = !preempt, mode
		s := newSingle(t, config)
		p := s.startMaster()
		for _, r := range rows {
			if got := s.node.Group(group).State; got != r.from {
				if r.from == lab.Master {
					p.goodbye()
					s.node.WaitAnswering(group, patience)
				} else {
					p.send(1, 0, 0)
					s.node.WaitState(group, lab.Backup, patience)
				}
			}
			want := r.noPreempt
			if preempt {
				want = r.preempt
			}
			before := s.node.Group(group)
			p.send(r.base, r.advskew, 0)
			s.node.WaitFor(group, "counts it", patience, func(g lab.GroupStatus) bool {
				return g.Counters.Received == before.Counters.Received+1
			})
			time.Sleep(100 * time.Millisecond)
			got := s.node.Group(group)
			if got.State != want || want == r.from && !sameTime(got.Since, before.Since) {
				t.Errorf("preempt %v, %s advert to %s: %s (%s), want %s", preempt, r.name, r.from, got.State, got.Reason, want)
			}
			if want != r.from && r.reason != "" && got.Reason != r.reason {
				t.Errorf("preempt %v, %s advert to %s: reason %q, want %q", preempt, r.name, r.from, got.Reason, r.reason)
			}
		}
	}
}

// A VIP that is removed by hand from a MASTER comes back.
func TestVIPRemovedByHandComesBack(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.startMaster()
	s.node.DelAddress("eth0", vip.String()+"/32")
	s.Eventually(
		patience,
		5*time.Millisecond,
		func() (bool, string) { return s.node.HasAddress("eth0", vip), "the VIP is back" },
	)
	if g := s.node.Group(group); g.State != lab.Master || !g.Dataplane.Answering {
		t.Errorf("the node is %s (%s)", g.State, g.Reason)
	}
}

// The same for the route to a prefix of the VIP's own, of both families; the log reports the deletion.
func TestRouteRemovedByHandComesBack(t *testing.T) {
	t.Parallel()
	s := newSingle(
		t,
		lab.NodeConfig{Groups: []lab.Group{{Addresses: []string{"198.51.100.100/24", "2001:db8:2::100/64"}}}},
	)
	clean := s.node.Snapshot()
	s.node.Start()
	s.node.WaitAnswering(group, upTimeout)
	for family, route := range map[string]string{"-4": "198.51.100.0/24", "-6": "2001:db8:2::/64"} {
		there := func() (bool, string) {
			out := s.node.MustRun(toolTimeout, "ip", family, "route", "show", route, "proto", "112")
			return strings.Contains(out, route), "the route is there: " + out
		}
		s.Eventually(patience, 5*time.Millisecond, there)
		s.node.MustRun(toolTimeout, "ip", family, "route", "del", route, "dev", "eth0", "proto", "112")
		s.Eventually(patience, 5*time.Millisecond, there)
	}
	if out := s.node.Proc().Output(); !strings.Contains(out, "another program deleted routes of vipd") {
		t.Errorf("the log does not say so:\n%s", out)
	}
	if g := s.node.Group(group); g.State != lab.Master || !g.Dataplane.Answering {
		t.Errorf("the node is %s (%s)", g.State, g.Reason)
	}
	s.node.Stop()
	assertNothingLeft(t, s.node, clean)
}

// Every second advert lost on the way moves nothing: the backup waits for three.
func TestEverySecondAdvertLostMovesNothing(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(10))
	p.start()
	a, b := p.a.Group(group), p.b.Group(group)
	p.portB.LoseAdverts(vhid, 1, 2)
	time.Sleep(8 * time.Second)
	assertUnmoved(t, map[*lab.Node]lab.GroupStatus{p.a: a, p.b: b})
	sent := p.a.Group(group).Counters.Sent - a.Counters.Sent
	if heard := p.b.Group(group).Counters.Received - b.Counters.Received; heard == 0 || heard > sent*2/3 {
		t.Errorf("b heard %d of %d adverts: nothing was lost, the test proves nothing", heard, sent)
	}
}
