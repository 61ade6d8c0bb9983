// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"vipd/tests/lab"
)

// failover is what a pair on some kind of interface has to go through.
type failover struct {
	group, ifname string
	mode          string // what the data plane has to run in
	vips          []netip.Addr
	within        time.Duration // for each thing to happen
	gap           time.Duration // what the kill may cost the client
}

// failOver starts a, then b, kills a and looks at it all as the client does.
func (p *pair) failOver(t *testing.T, f failover) {
	t.Helper()
	p.a.Start()
	g := p.a.WaitAnswering(f.group, f.within)
	if g.Dataplane.Mode != f.mode {
		t.Errorf("a runs in mode %q (%s), want %q", g.Dataplane.Mode, g.Dataplane.Note, f.mode)
	}
	p.b.Start()
	p.b.WaitFor(f.group, "is BACKUP and hears a", f.within, hearsMaster)
	pingers := make(map[netip.Addr]*lab.Pinger)
	for _, v := range f.vips {
		pingers[v] = p.client.Ping(v, 10*time.Millisecond)
		pingers[v].AwaitAnswer(time.Now(), f.within)
		if mac := p.client.Neighbour(p.clientIf(f), v); mac != net.HardwareAddr(vmac[:]).String() {
			t.Errorf("the client knows %v at %s", v, mac)
		}
	}
	time.Sleep(1500 * time.Millisecond) // pinged before, so that the client's neighbour entries are in order
	killed := p.a.Kill9()
	p.b.WaitAnswering(f.group, f.within)
	for v, pinger := range pingers {
		pinger.AwaitAnswer(time.Now(), f.within)
		r := pinger.Stop()
		t.Logf("client of %v: %v; it began %v after the kill", v, r, r.From.Sub(killed).Round(time.Millisecond))
		if r.Gap > f.gap+r.Allowance() {
			t.Errorf("the kill cost the client %v", r.Gap)
		}
		if r.Doubles > 0 {
			t.Errorf("%d pings were answered twice", r.Doubles)
		}
	}
	if g := p.b.Group(f.group); g.Counters.Packets == 0 {
		t.Errorf("b has delivered nothing: %+v", g.Counters)
	}
	// The client asks anew: b's kernel answers.
	for _, v := range f.vips {
		before := answersFor(p.b.Group(f.group), v)
		p.client.Forget(p.clientIf(f), v)
		again := p.client.Ping(v, 20*time.Millisecond)
		again.AwaitAnswer(time.Now(), f.within)
		again.Stop()
		if after := answersFor(p.b.Group(f.group), v); after <= before {
			t.Errorf("answered no question for %v: %d, before %d", v, after, before)
		}
	}
	p.b.Stop()
	p.a.Cleanup()
}

// clientIf returns the client's interface: its VLAN device, if the pair is on one.
func (p *pair) clientIf(f failover) string {
	if p.clientPort != nil {
		return p.clientPort.IfName
	}
	return f.ifname
}

// answersFor counts the ARP replies and neighbour advertisements of the data plane for one address.
func answersFor(g lab.GroupStatus, address netip.Addr) uint64 {
	for _, v := range g.VIPs {
		if v.Address == address.String() {
			return v.ARPReplies + v.NDAdvertisements
		}
	}
	return 0
}
