// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/config"
	"vipd/agent/election"
	"vipd/agent/netio"
)

func dualGroup() config.Group { return testGroup("eth0", 1, "192.0.2.100/24", "2001:db8::100/64") }

var linkLocal = netip.MustParsePrefix("fe80::11/64")

// adverts are those in a bench's log.
func adverts(log []string) []string {
	return slices.DeleteFunc(log, func(s string) bool { return !strings.HasPrefix(s, "advert ") })
}

func (b *bench) expectDemotion(name, reason string) {
	b.t.Helper()
	for _, d := range b.status().Demotions {
		if d.Name == name && d.Value == 240 && strings.Contains(d.Reason, reason) {
			return
		}
	}
	b.t.Errorf("demotions %+v, want %s 240 with %q", b.status().Demotions, name, reason)
}

// A node without an IPv6 source leaves a living master alone although it is better, serves
// IPv4 after silence, offers the group, and is itself again when the family has been back.
func TestFamilyWithoutSource(t *testing.T) {
	b := newBench(t, dualGroup())
	b.cfg.Carp.Preempt = true
	b.pass(0)
	b.expectDemotion("source:eth0", "no IPv6 address")
	b.now += int64(time.Millisecond)
	b.ring = append(b.ring, b.advert("eth0@1", 100))
	b.pass(0)
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
	b.drain()
	b.pass(3 * time.Second)
	b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
	want := []string{"advert 1/240 from 192.0.2.11", "advert 255/255 from 192.0.2.11"}
	if got := adverts(b.drain()); !slices.Equal(got, want) {
		t.Errorf("sent %q, want a claim and an offer over IPv4 alone", got)
	}
	b.own = append(b.own, linkLocal)
	b.syncInterfaces()
	b.pass(0)
	if st := b.status(); st.Demotion != 0 {
		t.Errorf("demotions %+v at the first start of the family, want none", st.Demotions)
	}
	want = []string{"advert 1/0 from 192.0.2.11", "advert 1/0 from fe80::11"}
	if got := adverts(b.drain()); len(got) < 2 || !slices.Equal(got[:2], want) {
		t.Errorf("sent %q when whole again", got)
	}
	// The second time it has to last.
	b.own = b.own[:1]
	b.syncInterfaces()
	b.pass(0)
	b.expectDemotion("source:eth0", "no IPv6 address")
	b.own = append(b.own, linkLocal)
	b.syncInterfaces()
	b.pass(0)
	b.expectDemotion("source:eth0", "not for long enough")
	b.pass(time.Second)
	if st := b.status(); st.Demotion != 0 {
		t.Errorf("demotions %+v after a second, want none", st.Demotions)
	}
	b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
}

// A claim on a living owner's group is not begun when a family turns out to be missing at
// that very moment, and taken back when the kernel refuses a part of it.
func TestClaimByHalves(t *testing.T) {
	b := newBench(t, dualGroup())
	b.own = append(b.own, linkLocal)
	b.cfg.Carp.Preempt = true
	gr := b.group("eth0@1")
	gr.machine.Step(b.clock.Now(), election.Reconfigure{Config: b.electionConfig(gr.cfg)}, nil)
	b.syncInterfaces()
	b.pass(0)
	b.drain()
	b.sendErr6 = errRefused
	b.ring = append(b.ring, b.advert("eth0@1", 100))
	b.pass(time.Millisecond)
	b.expectState("eth0@1", election.Backup, election.ReasonSendFailed)
	want := []string{
		"advert 1/0 from 192.0.2.11", "advert 1/0 from fe80::11",
		"advert 255/255 from 192.0.2.11", "advert 255/255 from fe80::11",
	}
	if got := adverts(b.drain()); !slices.Equal(got, want) {
		t.Errorf("sent %q, want a claim that is taken back", got)
	}
	b.pass(0)
	b.expectDemotion("senderr:eth0@1", "ff02::12") // at once
	if u := b.group("eth0@1").unreachable(); len(u) != 1 || !strings.Contains(u[0], "refused") {
		t.Errorf("unreachable: %q", u)
	}
	// It ends by itself on a BACKUP.
	b.sendErr6 = nil
	for range 31 {
		b.now += second
		b.ring = append(b.ring, b.advert("eth0@1", 100))
		b.pass(0)
	}
	if st := b.status(); st.Demotion != 0 {
		t.Errorf("demotions %+v after half a minute as BACKUP, want none", st.Demotions)
	}
	b.expectState("eth0@1", election.Master, election.ReasonPreempt)
}

// Peers: the node's own address and a VIP are skipped, one that is off is no fault, one
// without a route is.
func TestPeersWithinReach(t *testing.T) {
	own, vip := netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("192.0.2.101")
	off, on := netip.MustParseAddr("192.0.2.13"), netip.MustParseAddr("192.0.2.12")
	far := netip.MustParseAddr("203.0.113.1")
	local := netip.MustParseAddr("203.0.113.2")
	for _, tt := range []struct {
		name           string
		peers          []netip.Addr
		targets        int
		impaired, mute bool
		skipped        int
	}{
		{"one shared list", []netip.Addr{own, on}, 1, false, false, 1},
		{"an address of another interface", []netip.Addr{local, on}, 1, false, false, 1},
		{"one that is off", []netip.Addr{off, on}, 1, false, false, 0},
		{"all off", []netip.Addr{off}, 0, false, false, 0},
		{"a VIP", []netip.Addr{vip, on}, 1, false, false, 1},
		{"no route to one", []netip.Addr{far, on}, 1, true, false, 0},
		{"no route to any", []netip.Addr{far}, 0, true, true, 0},
		{"itself alone", []netip.Addr{own}, 0, true, false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := testGroup("eth0", 1, "192.0.2.100/24", "192.0.2.101/24")
			g.Peers = tt.peers
			b := newBench(t, g)
			b.away = map[netip.Addr]error{off: netio.ErrUnresolved, far: netio.ErrOtherInterface, local: netio.ErrOwn}
			at := b.group("eth0@1")
			at.look(0)
			p := &at.speaking.reach.plan
			r := p.Reach()
			if len(p.Targets) != tt.targets || r.Impaired != tt.impaired || r.Mute != tt.mute || len(p.Skipped) != tt.skipped {
				t.Errorf("%+v, %+v", p, r)
			}
			b.pass(0)
			if got := b.status().Demotion > 0; got != tt.impaired {
				t.Errorf("demoted %v, want %v", got, tt.impaired)
			}
			b.pass(3 * time.Second)
			state := election.Master
			if tt.mute {
				state = election.Backup
			}
			if got := b.group("eth0@1").machine.View().State; got != state {
				t.Errorf("%v after silence, want %v", got, state)
			}
		})
	}
}

// A claim on the group of an owner whose link-layer address is not known would leave two.
func TestOwnerNotYetResolved(t *testing.T) {
	owner := netip.MustParseAddr("192.0.2.12")
	g := testGroup("eth0", 1, "192.0.2.100/24")
	g.Peers = []netip.Addr{owner}
	b := newBench(t, g)
	b.cfg.Carp.Preempt = true
	b.group("eth0@1").machine.Step(b.clock.Now(), election.Reconfigure{Config: b.electionConfig(&g)}, nil)
	b.away = map[netip.Addr]error{owner: netio.ErrUnresolved}
	b.ring = append(b.ring, b.advert("eth0@1", 100))
	b.pass(time.Millisecond)
	b.expectState("eth0@1", election.Backup, election.ReasonSendFailed)
	if got := adverts(b.drain()); len(got) > 0 {
		t.Errorf("sent %q", got)
	}
	b.away = nil
	b.now += second
	b.ring = append(b.ring, b.advert("eth0@1", 100))
	b.pass(0)
	b.expectState("eth0@1", election.Master, election.ReasonPreempt)
}
