// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"bytes"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/loader"
)

const (
	offLink      = "198.51.100.100/24" // the host has no address in this prefix
	offLinkToo   = "198.51.100.101/24"
	offLinkRoute = "route 198.51.100.0/24"
)

// Two groups with addresses in one prefix need one route: it goes with the last of them.
func TestRouteOfTwoGroups(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, offLink), testGroup("eth0", 2, offLinkToo))
	b.master()
	yield := func(g string) []string {
		b.now += second / 2
		b.ring = append(b.ring, b.advert(g, 0))
		b.pass(0)
		return b.drain()
	}
	log := yield("eth0@1")
	if slices.Contains(log, "del "+offLinkRoute) || !slices.Contains(log, "del 198.51.100.100 from 10") {
		t.Errorf("the first group gave way: %q", log)
	}
	if log := yield("eth0@2"); !slices.Contains(log, "del "+offLinkRoute) {
		t.Errorf("the second group gave way: %q", log)
	}
}

// An address that a reload takes off leaves the route to the others of its prefix.
func TestRouteOfTwoAddresses(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, offLink, offLinkToo))
	b.master()
	b.reloadTo(testGroup("eth0", 1, offLinkToo))
	if log := b.drain(); slices.Contains(log, "del "+offLinkRoute) || !slices.Contains(log, "del 198.51.100.100 from 10") {
		t.Errorf("one address of two: %q", log)
	}
	b.reloadTo(testGroup("eth0", 1, "192.0.2.100/24"))
	if log := b.drain(); !slices.Contains(log, "del "+offLinkRoute) {
		t.Errorf("both: %q", log)
	}
}

// A group that the config has no more takes its route along, and not those of the groups that go on.
func TestUnclaimedGroupLeavesOthersTheirRoutes(t *testing.T) {
	pin := pinnedMaster(2 * time.Second)
	pin.VIPs = []netip.Addr{netip.MustParseAddr("198.51.100.100")}
	b := newBenchAfter(t, earlier{
		pins:   []loader.PinnedGroup{pin},
		left:   []loader.LeftVIP{{IfIndex: 10, Addr: netip.MustParseAddr("203.0.113.100"), VHID: 2}},
		routes: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24")},
	}, testGroup("eth0", 1, offLink))
	log := b.drain()
	if !slices.Contains(log, "del 203.0.113.100 from 10") ||
		!slices.Contains(log, "del left route 203.0.113.0/24 from 10") {
		t.Errorf("left of the other group: %q", log)
	}
	if slices.Contains(log, "del left route 198.51.100.0/24 from 10") {
		t.Errorf("the group that goes on has lost its route: %q", log)
	}
}

// A route that another program deletes comes back with the next look at the routes. If it is deleted each time, the log
// reports that once, and again after an end.
func TestDeletedRouteComesBack(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, offLink, offLinkToo))
	var logged bytes.Buffer
	b.Loop.log = slog.New(slog.NewTextHandler(&logged, nil))
	b.master()
	for i, tt := range []struct {
		deleted bool
		told    int
	}{{false, 0}, {true, 1}, {true, 1}, {false, 1}, {true, 2}} {
		b.drain()
		if tt.deleted {
			clear(b.routed)
		}
		b.pass(lookAtRoutes)
		log := b.drain()
		if n := strings.Count(strings.Join(log, "\n"), "add "+offLinkRoute); n != map[bool]int{true: 1}[tt.deleted] {
			t.Errorf("look %d: the route was added %d times, deleted is %v: %q", i, n, tt.deleted, log)
		}
		if n := strings.Count(logged.String(), "another program deleted routes of vipd"); n != tt.told {
			t.Errorf("look %d: told %d times, want %d:\n%s", i, n, tt.told, &logged)
		}
	}
}

// A route that is gone is not needed while the host itself is in the prefix.
func TestDeletedRouteOnLinkStaysAway(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, offLink))
	b.master()
	b.own = append(b.own, netip.MustParsePrefix("198.51.100.11/24"))
	b.syncInterfaces()
	for _, onLink := range []bool{true, false} {
		clear(b.routed)
		b.drain()
		if !onLink { // the witness
			b.own = b.own[:1]
			b.syncInterfaces()
		}
		b.pass(lookAtRoutes)
		if log := b.drain(); slices.Contains(log, "add "+offLinkRoute) == onLink {
			t.Errorf("with an address of the host's own in the prefix %v: %q", onLink, log)
		}
	}
}

// A prefix that the host leaves needs a route from then on.
func TestPrefixThatTheHostLeavesGetsARoute(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	if len(b.routed) != 0 {
		t.Fatalf("routes %v while the prefix is on link", b.routed)
	}
	b.own = []netip.Prefix{netip.MustParsePrefix("203.0.113.11/24")}
	b.syncAddresses()
	if log := b.drain(); !slices.Contains(log, "add route 192.0.2.0/24") {
		t.Errorf("no route at once: %q", log)
	}
}
