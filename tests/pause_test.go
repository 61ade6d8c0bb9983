// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"testing"
	"time"

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
		t.Errorf("only %d adverts reached the backup while it was stopped: the witness is missing", n)
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
	first := sniffer.FirstSpeaking(killed, 5*time.Second, vip, vmac)
	took := first.At.Sub(resumed)
	t.Logf("promoted %v after it was resumed", took)
	if interval := time.Second + 10*time.Second/256; took < interval || took > interval+time.Second {
		t.Errorf("promoted %v after it was resumed, want one interval (%v) and a little", took, interval)
	}
}

// A goodbye that is old news is no reason to promote, not even when the ring was too full for what came after it: the
// kernel's record of the last advert is.
func TestFullRingBehindAStoppedBackupPromotesNobody(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(10))
	sniffer := s.port.Sniff()
	p := newPeer(s.clientPort, addrClient)
	s.node.Start()
	s.node.WaitState(group, lab.Backup, 5*time.Second)
	p.send(1, 0, 0)
	before := s.node.WaitFor(group, "hears its master", 2*time.Second, func(g lab.GroupStatus) bool { return g.Counters.Received == 1 })

	s.node.Pause()
	p.goodbye()
	const adverts = 30_000 // each takes 80 bytes or more of a ring of 1 MiB
	for range adverts {
		p.send(1, 0, 0)
	}
	last := p.send(1, 0, 0)
	resumed := s.node.Resume()
	after := s.node.WaitFor(group, "has counted them", 2*time.Second, func(g lab.GroupStatus) bool { return g.Counters.Received > adverts })
	if after.State != lab.Backup || !sameTime(after.Since, before.Since) {
		t.Errorf("the node is %s (%s) since %v, was BACKUP since %v", after.State, after.Reason, after.Since, before.Since)
	}
	if lost := metric(s.node.Metrics(), `vipd_events_lost_total{interface="eth0",vhid="1"}`); lost <= 0 {
		t.Errorf("%v events were lost: the ring was not full, the witness is missing", lost)
	}
	// And the silence that follows is counted from the last advert, not from the last event.
	first := sniffer.FirstSpeaking(resumed, 6*time.Second, vip, vmac)
	if took := first.At.Sub(last); took < skewed(10) || took > skewed(10)+time.Second {
		t.Errorf("took over %v after the last advert, want %v and a little", took, skewed(10))
	}
}

// A master that was stopped for six seconds, nobody preempting: its successor stays, and it says nothing in between.
func TestMasterStoppedForSixSecondsComesBackAsBackup(t *testing.T) {
	t.Parallel()
	p := newPair(t, noPreempt(oneVIP(0)), noPreempt(oneVIP(10)))
	p.start()
	old, successor := p.portA.Sniff(), p.portB.Sniff()

	paused := p.a.Pause()
	took := successor.FirstSpeaking(paused, 8*time.Second, vip, vmac)
	since := p.b.WaitState(group, lab.Master, 2*time.Second).Since
	time.Sleep(time.Until(paused.Add(6 * time.Second)))
	p.a.Resume()
	p.a.WaitState(group, lab.Backup, 3*time.Second)
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
		t.Errorf("only %d adverts of the successor reached the old master: the witness is missing", len(heard))
	}
	if len(p.clientPort.AskARP(addrClient, vip, 200*time.Millisecond)) != 1 {
		t.Error("the VIP is not answered for exactly once")
	}
}
