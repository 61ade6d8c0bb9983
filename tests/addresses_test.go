// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vipd/agent/wire"
	"vipd/tests/lab"

	"github.com/google/go-cmp/cmp"
)

// The host's own addresses and routes are the same before and after a hundred transitions.
func TestHostAddressesAndRoutesSurviveAHundredTransitions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		vip     string
		ownLate bool // the host's address is added when the VIP is there already
	}{
		{name: "vip in the host's prefix", vip: "192.0.2.100/24"},
		{name: "vip in a prefix of its own", vip: "198.51.100.100/24"},
		{name: "vip added before the host's address", vip: "192.0.2.100/24", ownLate: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			address := netip.MustParsePrefix(tt.vip).Addr()
			s := newSingle(t, lab.NodeConfig{Groups: []lab.Group{{Addresses: []string{tt.vip}, AdvSkew: 100}}})
			s.node.AddAddress("eth0", "192.0.2.13/24")   // a secondary address
			s.node.AddAddress("eth0", "203.0.113.11/28") // and one of another prefix
			s.node.MustRun(toolTimeout, "ip", "route", "add", "default", "via", addrClient.String())
			s.node.MustRun(toolTimeout, "ip", "route", "add", "10.0.0.0/8", "via", addrClient.String(), "src", "203.0.113.11")
			before := s.node.Snapshot()
			if tt.ownLate {
				for _, a := range []string{"192.0.2.13/24", addrA.String() + "/24", "203.0.113.11/28"} {
					s.node.DelAddress("eth0", a)
				}
			}

			p := newPeer(s.clientPort, addrClient)
			p.prefix = wire.DigestPrefix(vhid, []netip.Addr{address}, nil)
			s.node.Start()
			s.node.WaitState(group, lab.Backup, patience)
			p.goodbye()
			s.node.WaitAnswering(group, patience)
			if tt.ownLate {
				for _, a := range []string{addrA.String() + "/24", "192.0.2.13/24", "203.0.113.11/28"} {
					s.node.AddAddress("eth0", a)
				}
				s.node.MustRun(toolTimeout, "ip", "route", "add", "default", "via", addrClient.String())
				s.node.MustRun(toolTimeout, "ip", "route", "add", "10.0.0.0/8", "via", addrClient.String(), "src", "203.0.113.11")
			}
			const transitions = 100
			for range transitions / 2 {
				p.send(1, 0, 0)
				s.node.WaitState(group, lab.Backup, patience)
				if s.node.HasAddress("eth0", address) {
					t.Fatal("BACKUP still has the VIP")
				}
				p.goodbye()
				s.node.WaitAnswering(group, patience)
				if !s.node.HasAddress("eth0", address) {
					t.Fatal("MASTER has not the VIP") // the control of each transition
				}
			}
			s.node.Stop()
			if diff := cmp.Diff(before, s.node.Snapshot()); diff != "" {
				t.Errorf("after %d transitions the host is not as before (-before +after):\n%s", transitions, diff)
			}
		})
	}
}

// Two interfaces with virtual addresses in one prefix, where the host has none, have a route each, of both families:
// when one gives way the other's is there all the time, and the log blames nobody.
func TestRouteOfOnePrefixOnTwoInterfaces(t *testing.T) {
	t.Parallel()
	prefixes := map[string]string{"-4": "198.51.100.0/24", "-6": "2001:db8:2::/64"}
	s := newSingle(t, lab.NodeConfig{Groups: []lab.Group{
		{Addresses: []string{"198.51.100.100/24", "2001:db8:2::100/64"}},
		{Interface: "eth1", Addresses: []string{"198.51.100.101/24", "2001:db8:2::101/64"}},
	}})
	s.NewSegment("wan").Join(s.node.Host, "eth1", "203.0.113.11/24", "2001:db8:3::11/64")
	s.node.SetUp("eth1")
	clean := s.node.Snapshot()
	s.node.Start()
	s.node.WaitAnswering(group, upTimeout)
	s.node.WaitAnswering("eth1@1", patience)
	on := func(family string) (out []string) {
		for line := range strings.Lines(s.node.MustRun(toolTimeout, "ip", family, "route", "show", prefixes[family], "proto",
			"112")) {
			for _, ifname := range []string{"eth0", "eth1"} {
				if strings.Contains(line, "dev "+ifname) {
					out = append(out, ifname)
				}
			}
		}
		return out
	}
	for family := range prefixes {
		s.Eventually(patience, 5*time.Millisecond, func() (bool, string) {
			got := on(family)
			return len(got) == 2 && got[0] != got[1], fmt.Sprintf("%s: a route on each interface: %v", family, got)
		})
	}
	s.port.SetCarrier(false)
	s.node.WaitState(group, lab.Init, patience)
	for family := range prefixes {
		if got := on(family); len(got) != 1 || got[0] != "eth1" {
			t.Errorf("%s: with eth0 down there are routes on %v, want eth1 alone", family, got)
		}
	}
	time.Sleep(2500 * time.Millisecond) // two renewals
	if out := s.node.Proc().
		Output(); strings.Contains(out, "another program deleted") ||
		!strings.Contains(out, "interface not usable") {
		t.Errorf("the log blames another process for a route of ours, or does not name the link:\n%s", out)
	}
	s.port.SetCarrier(true)
	s.node.Stop()
	assertNothingLeft(t, s.node, clean)
}
