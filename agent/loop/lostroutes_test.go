// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"net/netip"
	"slices"
	"testing"

	"vipd/agent/netio"
)

// Routes that leave with the addresses are named, until they are back.
func TestLostRoutesAreNamed(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	byVIP := netio.Route{
		Dst: prefix("10.0.0.0/8"), Gateway: netip.MustParseAddr("192.0.2.1"), Source: netip.MustParseAddr("192.0.2.100"),
		IfIndex: 10, Table: 254, Protocol: 3,
	}
	other := netio.Route{
		Dst:      prefix("10.1.0.0/16"),
		Gateway:  netip.MustParseAddr("192.0.2.1"),
		IfIndex:  10,
		Table:    254,
		Protocol: 3,
	}
	look := func(want ...string) {
		t.Helper()
		b.publish()
		if err := b.operator.LookAtRoutes(); err != nil {
			t.Fatal(err)
		}
		got := b.status().Groups[0].LostRoutes
		if !slices.Equal(got, want) {
			t.Errorf("lost %q, want %q", got, want)
		}
	}
	look()
	b.master()
	b.hostRoutes = []netio.Route{byVIP, other}
	look()
	b.hostRoutes = []netio.Route{other} // an operator removed it: nobody's handover
	look()
	b.hostRoutes = []netio.Route{byVIP, other}
	look()
	b.ring = append(b.ring, b.advert("eth0@1", 0))
	b.ring[0].AdvBase = 0
	b.ring[0].AdvSkew = 1
	b.pass(0)
	b.hostRoutes = []netio.Route{other}
	look("10.0.0.0/8 via 192.0.2.1 src 192.0.2.100")
	look("10.0.0.0/8 via 192.0.2.1 src 192.0.2.100")
	b.hostRoutes = []netio.Route{byVIP, other}
	look()
}
