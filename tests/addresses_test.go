// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"net/netip"
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
			s.node.MustRun(5*time.Second, "ip", "route", "add", "default", "via", addrClient.String())
			s.node.MustRun(5*time.Second, "ip", "route", "add", "10.0.0.0/8", "via", addrClient.String(), "src", "203.0.113.11")
			before := s.node.Snapshot()
			if tt.ownLate {
				for _, a := range []string{"192.0.2.13/24", addrA.String() + "/24", "203.0.113.11/28"} {
					s.node.DelAddress("eth0", a)
				}
			}

			p := newPeer(s.clientPort, addrClient)
			p.prefix = wire.DigestPrefix(vhid, []netip.Addr{address}, nil)
			s.node.Start()
			s.node.WaitState(group, lab.Backup, 5*time.Second)
			p.goodbye()
			s.node.WaitAnswering(group, 2*time.Second)
			if tt.ownLate {
				for _, a := range []string{addrA.String() + "/24", "192.0.2.13/24", "203.0.113.11/28"} {
					s.node.AddAddress("eth0", a)
				}
				s.node.MustRun(5*time.Second, "ip", "route", "add", "default", "via", addrClient.String())
				s.node.MustRun(5*time.Second, "ip", "route", "add", "10.0.0.0/8", "via", addrClient.String(), "src", "203.0.113.11")
			}
			const transitions = 100
			for range transitions / 2 {
				p.send(1, 0, 0)
				s.node.WaitState(group, lab.Backup, 2*time.Second)
				if s.node.HasAddress("eth0", address) {
					t.Fatal("BACKUP still has the VIP")
				}
				p.goodbye()
				s.node.WaitAnswering(group, 2*time.Second)
				if !s.node.HasAddress("eth0", address) {
					t.Fatal("MASTER has not the VIP") // the witness of each transition
				}
			}
			s.node.Stop()
			if diff := cmp.Diff(before, s.node.Snapshot()); diff != "" {
				t.Errorf("after %d transitions the host is not as before (-before +after):\n%s", transitions, diff)
			}
		})
	}
}
