// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"testing"
	"time"

	"vipd/tests/lab"
)

const pingSpacing = 2 * time.Millisecond

// Two nodes, advbase 1: the client's longest gap is at most the master-down time of the backup plus 100 ms, whether the
// master's daemon is killed or its cable is pulled.

func TestGapAfterKill9IsAtMostMasterDownPlus100ms(t *testing.T) {
	t.Parallel()
	inModes(t, gapAfterKill9IsAtMostMasterDownPlus100ms)
}

func gapAfterKill9IsAtMostMasterDownPlus100ms(t *testing.T, mode string) {
	p := newPair(t, inMode(mode, oneVIP(0)), inMode(mode, oneVIP(10)))
	asShipped(t, p.a, p.b)
	p.start()
	pinger := p.client.Ping(vip, pingSpacing)
	pinger.AwaitAnswer(time.Now(), patience)
	time.Sleep(1500 * time.Millisecond) // pinged before, so that the client's neighbour entry is in order
	killed := p.a.Kill9()
	p.b.WaitAnswering(group, patience)
	pinger.AwaitAnswer(time.Now(), patience)
	assertGap(t, pinger.Stop(), killed, skewed(10)+100*time.Millisecond)
}

func TestGapAfterLinkLossIsAtMostMasterDownPlus100ms(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(10))
	asShipped(t, p.a, p.b)
	p.start()
	pinger := p.client.Ping(vip, pingSpacing)
	pinger.AwaitAnswer(time.Now(), patience)
	time.Sleep(500 * time.Millisecond)
	since := time.Now()
	p.portA.Sniff().Await(patience, "an advert", func(f lab.Frame) bool { // the worst moment is just after one
		ad, ok := f.Advert()
		return ok && f.FromHost && f.At.After(since) && ad.VHID == vhid
	})
	pulled := time.Now()
	p.portA.SetCarrier(false)
	g := p.a.WaitState(group, lab.Init, patience)
	if g.Reason != "link_down" {
		t.Errorf("a without link is INIT for the reason %q, want link_down", g.Reason)
	}
	p.b.WaitAnswering(group, patience)
	pinger.AwaitAnswer(time.Now(), patience)
	r := pinger.Stop()
	assertGap(t, r, pulled, skewed(10)+100*time.Millisecond)
	if r.Gap < time.Second {
		t.Errorf("the pulled cable cost the client only %v: was it pulled?", r.Gap)
	}
	if p.a.HasAddress("eth0", vip) {
		t.Error("a without link still has the address")
	}

	// And back: a preempts when its cable is in again.
	p.portA.SetCarrier(true)
	p.a.WaitAnswering(group, patience)
	p.b.WaitState(group, lab.Backup, patience)
}

// assertGap checks that the client's longest gap is within the limit, and what this machine adds to it.
func assertGap(t *testing.T, r lab.PingReport, event time.Time, limit time.Duration) {
	t.Helper()
	limit += r.Allowance()
	t.Logf("client: %v; it began %v after the event; allowed %v", r, r.From.Sub(event).Round(time.Millisecond), limit)
	if r.Gap > limit {
		t.Errorf("longest gap %v, want at most %v", r.Gap, limit)
	}
	if r.Doubles > 0 {
		t.Errorf("%d pings were answered twice", r.Doubles)
	}
}

// Cold start alone: MASTER after the master-down time, not before (the upper bound is the machine's load's to break).
func TestColdStartAloneWaitsTheMasterDownTime(t *testing.T) {
	t.Parallel()
	for _, skew := range []int{0, 100} {
		s := newSingle(t, oneVIP(skew))
		sniffer := s.port.Sniff()
		started := s.node.Start()
		// The time begins with BACKUP: on a busy machine a start takes seconds.
		begun := s.node.WaitState(group, lab.Backup, patience).Since
		s.node.WaitAnswering(group, upTimeout)
		first := sniffer.FirstSpeaking(started, patience, vip, vmac)
		took := first.At.Sub(begun)
		t.Logf("skew %d: first frame for the address %v after the start", skew, first.At.Sub(started))
		if ad, ok := first.Advert(); !ok {
			t.Errorf("skew %d: the first word is not an advert: %v", skew, first)
		} else if ad.TTL != 255 || ad.AdvBase != 1 || int(ad.AdvSkew) != skew || ad.Src != addrA {
			t.Errorf("skew %d: first advert says %+v", skew, ad)
		}
		if first.At.Sub(started) < skewed(skew) || took > skewed(skew)+3*time.Second {
			t.Errorf("skew %d: took %v, want %v and a little", skew, took, skewed(skew))
		}
	}
}
