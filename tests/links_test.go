// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"net/netip"
	"testing"
	"time"

	"vipd/tests/lab"
)

// A pair of routers with the same VHID on both their interfaces. The master loses one of its cables: the whole node is
// demoted by it, and the other node has both addresses within a moment of the loss, the one of the good cable without a
// lost ping to speak of. With the cable back everything moves back.
func TestOneLinkDownMovesTheWholeNode(t *testing.T) {
	t.Parallel()
	const lan, wan = "eth0@1", "eth1@1"
	wanVIP := netip.MustParseAddr("198.51.100.100")
	config := func(skew int) lab.NodeConfig {
		return lab.NodeConfig{Groups: []lab.Group{
			{Addresses: []string{vip.String() + "/24"}, AdvSkew: skew},
			{Interface: "eth1", Addresses: []string{wanVIP.String() + "/24"}, AdvSkew: skew},
		}}
	}
	p := newPair(t, config(0), config(100))
	segment := p.NewSegment("wan")
	cable := segment.Join(p.a.Host, "eth1", "198.51.100.11/24")
	segment.Join(p.b.Host, "eth1", "198.51.100.12/24")
	p.a.Start()
	p.a.WaitAnswering(lan, upTimeout)
	p.a.WaitAnswering(wan, patience)
	p.b.Start()
	for _, g := range []string{lan, wan} {
		p.b.WaitFor(g, "is BACKUP and hears a", patience, hearsMaster)
	}
	pinger := p.client.Ping(vip, 5*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)

	pulled := time.Now()
	cable.SetCarrier(false)
	g := p.b.WaitAnswering(lan, 2*time.Second)
	t.Logf("the other interface's group moved within %v", time.Since(pulled))
	if g.Reason != "preempt" {
		t.Errorf("%s moved for the reason %q, want preempt", lan, g.Reason)
	}
	if g := p.a.Group(wan); g.State != lab.Init || g.Reason != "link_down" {
		t.Errorf("%s is %s (%s) without its cable", wan, g.State, g.Reason)
	}
	s := p.a.Status()
	if s.Demotion != 240 || len(s.Demotions) != 1 || s.Demotions[0].Name != "link:eth1" || s.Demotions[0].Reason == "" {
		t.Errorf("demotion %d: %+v, want link:eth1 240 with its reason", s.Demotion, s.Demotions)
	}
	if g, err := s.Group(lan); err != nil || g.State != lab.Backup || g.Reason != "demoted" {
		t.Errorf("%s gave way as %s (%s), want BACKUP (demoted)", lan, g.State, g.Reason)
	}
	p.b.WaitAnswering(wan, patience) // a goodbye would need the cable
	if r := pinger.Stop(); r.Gap > 500*time.Millisecond+r.Allowance() || r.Doubles > 0 {
		t.Errorf("client of %v: %v", vip, r)
	}

	cable.SetCarrier(true)
	p.a.WaitAnswering(lan, patience)
	p.a.WaitAnswering(wan, patience)
	for _, g := range []string{lan, wan} {
		p.b.WaitState(g, lab.Backup, patience)
	}
	if s := p.a.Status(); s.Demotion != 0 {
		t.Errorf("demotion %d with both cables in: %+v", s.Demotion, s.Demotions)
	}
}
