// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"vipd/loader"

	"github.com/google/go-cmp/cmp"
)

// hostHas reports whether the host delivers to an address, in whatever way.
func (b *bench) hostHas(ifindex int, addr netip.Addr) bool {
	if b.vips[fakeRoute{ifindex, netip.PrefixFrom(addr, addr.BitLen())}] {
		return true
	}
	for at := range b.local {
		if at.ifindex == ifindex && at.prefix.Contains(addr) {
			return true
		}
	}
	return false
}

func TestCovering(t *testing.T) {
	tests := []struct{ addrs, want []string }{
		{nil, nil},
		{[]string{"192.0.2.1"}, []string{"192.0.2.1/32"}},
		{[]string{"192.0.2.2", "192.0.2.1"}, []string{"192.0.2.1/32", "192.0.2.2/32"}}, // neighbours, but of no prefix
		{[]string{"192.0.2.3", "192.0.2.2", "192.0.2.2"}, []string{"192.0.2.2/31"}},
		{[]string{"192.0.2.0", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}, []string{"192.0.2.0/30", "192.0.2.4/32"}},
		{[]string{"2001:db8::2", "192.0.2.0", "2001:db8::3", "192.0.2.1"}, []string{"192.0.2.0/31", "2001:db8::2/127"}},
		{[]string{"255.255.255.255", "0.0.0.0", "::", "::1"}, []string{"0.0.0.0/32", "255.255.255.255/32", "::/127"}},
	}
	for _, tt := range tests {
		var addrs []netip.Addr
		for _, a := range tt.addrs {
			addrs = append(addrs, netip.MustParseAddr(a))
		}
		var got []string
		for _, p := range covering(addrs) {
			got = append(got, p.String())
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.addrs, diff)
		}
	}
}

// Of random addresses the prefixes have exactly these, and no two of them could be one.
func TestCoveringIsExact(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		set := map[netip.Addr]bool{}
		for range random.IntN(200) {
			set[netip.AddrFrom4([4]byte{192, 0, 2, byte(random.IntN(256))})] = true
		}
		var addrs []netip.Addr
		for addr := range set {
			addrs = append(addrs, addr)
		}
		routes := covering(addrs)
		seen := map[netip.Addr]bool{}
		for _, p := range routes {
			if p != p.Masked() || slices.Contains(routes, sibling(p)) {
				t.Errorf("%v of %v could be shorter, or is none", p, routes)
			}
			for addr := p.Addr(); p.Contains(addr); addr = addr.Next() {
				if seen[addr] || !set[addr] {
					t.Errorf("%v has %v, which is there %v and wanted %v", p, addr, seen[addr], set[addr])
				}
				seen[addr] = true
			}
		}
		if len(seen) != len(set) {
			t.Errorf("%d addresses are covered, want %d", len(seen), len(set))
		}
	}
}

// sibling returns the other half of the prefix that has p as one half.
func sibling(p netip.Prefix) netip.Prefix {
	a := p.Addr().As4()
	bit := p.Bits() - 1
	a[bit/8] ^= 0x80 >> (bit % 8)
	return netip.PrefixFrom(netip.AddrFrom4(a), p.Bits())
}

func (b *bench) rounds() {
	for range 200 {
		b.pass(time.Millisecond)
	}
}

// 256 VIPs are addresses, 257 are local routes, one per prefix that they fill. The solicited-node groups of routes are
// joined before the group is MASTER, and left with it.
func TestManyAddressesAreLocalRoutes(t *testing.T) {
	var addresses []string
	for i := range 256 {
		addresses = append(addresses, fmt.Sprintf("198.18.0.%d/32", i))
	}
	b := newBench(t, testGroup("eth0", 1, addresses...))
	if b.master(); len(b.vips) != 256 || len(b.local) != 0 || b.listening[10] != 0 {
		t.Errorf("%d addresses, local routes %v, %d groups joined", len(b.vips), b.local, b.listening[10])
	}
	b = newBench(t, testGroup("eth0", 1, append(addresses, "198.18.1.1/32")...))
	if b.listening[10] != 257 || len(b.local) != 0 {
		t.Errorf("a BACKUP has joined %d groups, and has %d local routes", b.listening[10], len(b.local))
	}
	b.master()
	want := map[fakeRoute]bool{{10, prefix("198.18.0.0/24")}: true, {10, prefix("198.18.1.1/32")}: true}
	if diff := cmp.Diff(want, b.local, cmp.Comparer(func(x, y netip.Prefix) bool { return x == y })); diff != "" {
		t.Errorf("local routes (-want +got):\n%s", diff)
	}
	if len(b.vips) != 0 {
		t.Errorf("and %d addresses", len(b.vips))
	}
	b.expectComplete("eth0@1")
}

// A local route that another program deletes is back with the next look, and counted.
func TestDeletedLocalRoutesReturn(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, spaced(300)...))
	b.master()
	b.rounds()
	b.expectComplete("eth0@1")
	delete(b.local, fakeRoute{10, prefix("198.18.0.2/32")})
	for range 30 {
		b.pass(100 * time.Millisecond)
	}
	b.expectComplete("eth0@1")
	if n, _ := b.group("eth0@1").shown.Live().Restored(); n != 1 {
		t.Errorf("%d are counted as restored, want 1", n)
	}
}

// A reload changes between addresses and local routes with no moment without either, and drops at once what the config
// no longer has.
func TestReloadBetweenAddressesAndLocalRoutes(t *testing.T) {
	all := spaced(400)
	for i := range all { // whole prefixes, so that routes have to be split
		all[i] = fmt.Sprintf("198.18.%d.%d/32", i/256, i%256)
	}
	b := newBench(t, testGroup("eth0", 1, all[:200]...))
	b.master()
	b.rounds()
	now := all[:200]
	for _, next := range [][]string{all[:300], all[100:400], all[101:400], all[150:300], all[:400], all[1:3], all} {
		stay := slices.DeleteFunc(slices.Clone(now), func(a string) bool { return !slices.Contains(next, a) })
		check := func() {
			t.Helper()
			for _, a := range stay {
				if !b.hostHas(10, netip.MustParsePrefix(a).Addr()) {
					t.Fatalf("%s is not on the host in the change from %d to %d", a, len(now), len(next))
				}
			}
		}
		b.removed = check
		b.reloadTo(testGroup("eth0", 1, next...))
		for _, a := range now {
			if addr := netip.MustParsePrefix(a).Addr(); !slices.Contains(next, a) && b.hostHas(10, addr) {
				t.Errorf("%s is on the host after a reload without it", a)
			}
		}
		b.rounds()
		b.removed = nil
		b.expectComplete("eth0@1")
		if routes := len(next) > 256; len(b.vips) > 0 == routes || len(b.local) > 0 != routes {
			t.Errorf("%d VIPs are %d addresses and %d local routes", len(next), len(b.vips), len(b.local))
		}
		for at := range b.local {
			if !slices.Contains(b.group("eth0@1").onHost.local.wanted, at.prefix) {
				t.Errorf("%v is left over", at.prefix)
			}
		}
		now = next
	}
}

// A group that leaves the data plane, and its fence, has no local routes then.
func TestLocalRoutesGoBeforeTheFence(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, spaced(2000)...))
	b.master()
	b.rounds()
	b.expectComplete("eth0@1")
	down := b.links["eth0"]
	down.Up = false
	b.links["eth0"] = down
	b.syncInterfaces()
	b.rounds()
	if len(b.local) != 0 {
		t.Errorf("%d local routes of a group in INIT", len(b.local))
	}
	b = newBench(t, testGroup("eth0", 1, spaced(2000)...))
	b.master()
	b.rounds()
	b.expectComplete("eth0@1")
	b.TakeDown()
	if len(b.local) != 0 || b.listening[10] != 0 {
		t.Errorf("%d local routes and %d memberships of a group that has left", len(b.local), b.listening[10])
	}
}

// What an earlier vipd left as addresses or as local routes is taken over, and becomes what the config needs.
func TestAdoptedLocalRoutes(t *testing.T) {
	many := spaced(300)
	for _, was := range []string{"addresses", "routes"} {
		for _, number := range []int{250, 300} {
			pin := pinnedMaster(2 * time.Second)
			pin.VIPs = nil
			for _, a := range many {
				pin.VIPs = append(pin.VIPs, netip.MustParsePrefix(a).Addr())
			}
			b := newBenchAfter(t, earlier{pins: []loader.PinnedGroup{pin}, routed: was == "routes"},
				testGroup("eth0", 1, many[:number]...))
			b.pass(0)
			b.rounds()
			b.expectComplete("eth0@1")
			if a, r := len(b.vips), len(b.local); number > 256 && (a != 0 || r != 300) || number <= 256 && (a != 250 || r != 0) {
				t.Errorf("%s of 300, and now %d: %d addresses and %d local routes", was, number, a, r)
			}
		}
	}
}

// Each announcement of a thousand addresses comes to an end, in parts between which others have their turn, and none is
// sent after the group has lost MASTER.
func TestAnnouncementsComeInParts(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, spaced(1000)...))
	b.pass(3 * time.Second)
	const first = announceFirst + announceTurn // and a turn of the same round
	if n := b.count("gratuitous arp"); n != first {
		t.Errorf("%d announcements in the round of the claim, want %d", n, first)
	}
	for sent := first; sent < 1000; {
		b.pass(0)
		n := b.count("gratuitous arp")
		if sent += n; n == 0 || n > announceTurn || sent > 1000 {
			t.Fatalf("%d announcements in a round, %d in all", n, sent)
		}
	}
	b.rounds()
	if n := b.count("gratuitous arp"); n != 0 {
		t.Errorf("%d more without an advertisement", n)
	}
	b.pass(time.Second)
	b.rounds()
	if n := b.count("gratuitous arp"); n != 1000 { // the witness
		t.Errorf("%d announcements with the next advertisement, want 1000", n)
	}
	b.pass(time.Second)
	b.drain()
	b.ring = append(b.ring, b.advert("eth0@1", 0))
	b.pass(0)
	b.drain()
	b.rounds()
	if n := b.count("gratuitous arp"); n != 0 {
		t.Errorf("%d announcements by a BACKUP", n)
	}
}
