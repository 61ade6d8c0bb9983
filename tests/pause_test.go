// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"net/netip"
	"testing"
	"time"

	"vipd/agent/wire"
	"vipd/tests/lab"
)

// A backup that was stopped for ten seconds has no evidence that its master is gone: no transition.
func TestBackupStoppedForTenSecondsMakesNoTransition(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(10))
	p.start()
	master, backup := p.a.Group(group), p.b.Group(group)
	sniffer := p.portB.Sniff()

	paused := p.b.Pause()
	time.Sleep(10 * time.Second)
	resumed := p.b.Resume()
	time.Sleep(4 * time.Second) // longer than a master-down time

	if got := p.a.Group(group); got.State != lab.Master || !sameTime(got.Since, master.Since) {
		t.Errorf("master is %s since %v, was MASTER since %v", got.State, got.Since, master.Since)
	}
	if got := p.b.Group(group); got.State != lab.Backup || !sameTime(got.Since, backup.Since) {
		t.Errorf("backup is %s since %v, was BACKUP since %v", got.State, got.Since, backup.Since)
	}
	frames := sniffer.Frames()
	if spoken := frames.FromHost().Speaking(vip, vmac); len(spoken) > 0 {
		t.Errorf("the backup spoke for the VIP:\n%v", spoken)
	}
	heard := frames.ToHost().Adverts(vhid)
	if n := len(heard.After(paused).Before(resumed)); n < 9 {
		t.Errorf("only %d adverts reached the backup while it was stopped: the test proves nothing", n)
	}
}

// A backup whose timer ran out while it was stopped is late: it looks again for one interval before it promotes.
func TestLateBackupLooksAgainBeforeItPromotes(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(10))
	p.start()
	sniffer := p.portB.Sniff()
	p.b.Pause()
	time.Sleep(time.Second)
	killed := p.a.Kill9()
	time.Sleep(time.Until(killed.Add(skewed(10) + time.Second))) // late by something between 0 and 1 s more than that
	resumed := p.b.Resume()
	first := sniffer.FirstSpeaking(killed, patience, vip, vmac)
	took := first.At.Sub(resumed)
	t.Logf("promoted %v after it was resumed", took)
	if interval := time.Second + 10*time.Second/256; took < interval || took > interval+time.Second {
		t.Errorf("promoted %v after it was resumed, want one interval (%v) and a little", took, interval)
	}
}

// An outdated goodbye does not cause a promotion, not even when the ring was too full for what came after it: the
// kernel's record of the last advert is. One group cannot fill the ring, for the agent is told of changes alone and of
// so many in a row; the other groups of the interface do.
func TestFullRingBehindAStoppedBackupPromotesNobody(t *testing.T) {
	t.Parallel()
	const others, changes = 200, 90 // each change takes 80 bytes or more of a ring of 1 MiB
	config := oneVIP(10)
	for v := 2; v < 2+others; v++ {
		config.Groups = append(
			config.Groups,
			lab.Group{VHID: v, Addresses: []string{addressOf(v).String() + "/32"}, AdvSkew: 10},
		)
	}
	s := newSingle(t, config)
	sniffer := s.port.Sniff()
	p := newPeer(s.clientPort, addrClient)
	var flood [][]byte // made before: it takes a while
	other := newPeer(s.clientPort, addrClient)
	for i := range changes {
		for v := 2; v < 2+others; v++ {
			other.prefix = wire.DigestPrefix(uint8(v), []netip.Addr{addressOf(v)}, nil)
			flood = append(
				flood,
				other.build(func(f *wire.AdvertFrame) { f.Advert.VHID, f.Advert.AdvSkew = uint8(v), uint8(i) }),
			)
		}
	}
	s.node.Start()
	s.node.WaitState(group, lab.Backup, patience)
	p.send(1, 0, 0)
	before := s.node.WaitFor(group, "hears its master", patience, func(g lab.GroupStatus) bool {
		return g.Counters.Received == 1
	})
	mark := before.Counters.Received

	s.node.Pause()
	p.goodbye()
	for _, frame := range flood {
		p.injector.Send(frame)
	}
	last := p.send(1, 0, 0)
	resumed := s.node.Resume()
	after := s.node.WaitFor(group, "has counted them", patience, func(g lab.GroupStatus) bool {
		return g.Counters.Received >= mark+2
	})
	if after.State != lab.Backup || !sameTime(after.Since, before.Since) {
		t.Errorf("the node is %s (%s) since %v, was BACKUP since %v", after.State, after.Reason, after.Since, before.Since)
	}
	if lost := metric(s.node.Metrics(), `vipd_events_lost_total{interface="eth0",vhid="1"}`); lost <= 0 {
		t.Errorf("%v events were lost: the ring was not full, the test proves nothing", lost)
	}
	// And the silence that follows is counted from the last advert, not from the last event.
	first := sniffer.FirstSpeaking(resumed, patience, vip, vmac)
	if took := first.At.Sub(last); took < skewed(10) || took > skewed(10)+time.Second {
		t.Errorf("took over %v after the last advert, want %v and a little", took, skewed(10))
	}
}

// A master that was stopped for six seconds, without preemption: its successor stays MASTER, and it sends nothing in
// between.
func TestMasterStoppedForSixSecondsComesBackAsBackup(t *testing.T) {
	t.Parallel()
	p := newPair(t, noPreempt(oneVIP(0)), noPreempt(oneVIP(10)))
	p.start()
	old, successor := p.portA.Sniff(), p.portB.Sniff()

	paused := p.a.Pause()
	took := successor.FirstSpeaking(paused, patience, vip, vmac)
	since := p.b.WaitState(group, lab.Master, patience).Since
	time.Sleep(time.Until(paused.Add(6 * time.Second)))
	p.a.Resume()
	p.a.WaitState(group, lab.Backup, patience)
	time.Sleep(4 * time.Second)

	if got := p.b.Group(group); got.State != lab.Master || !sameTime(got.Since, since) {
		t.Errorf("the successor is %s since %v, was MASTER since %v", got.State, got.Since, since)
	}
	if got := p.a.Group(group); got.State != lab.Backup {
		t.Errorf("the old master is %s (%s), want BACKUP", got.State, got.Reason)
	}
	frames := old.Frames()
	if spoken := frames.FromHost().After(took.At).Speaking(vip, vmac); len(spoken) > 0 {
		t.Errorf("the old master spoke for the VIP after the takeover:\n%v", spoken)
	}
	if heard := frames.ToHost().After(took.At).Adverts(vhid); len(heard) < 5 {
		t.Errorf("only %d adverts of the successor reached the old master: the test proves nothing", len(heard))
	}
	if len(p.clientPort.AnswersARP(addrClient, vip, 200*time.Millisecond)) != 1 {
		t.Error("the VIP is not answered for exactly once")
	}
}
