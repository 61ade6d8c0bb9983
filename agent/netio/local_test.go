// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Thousands of local routes of both families are added, listed and removed, each within a second, and nothing else is.
func TestLocal(t *testing.T) {
	t.Parallel()
	h, _, nl := newHost(t)
	eth0, err := h.Link("eth0")
	if err != nil {
		t.Fatal(err)
	}
	other, err := h.Link("eth1")
	if err != nil {
		t.Fatal(err)
	}
	var want []netip.Prefix
	for i := range 5000 {
		want = append(want,
			netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i / 128), byte(i % 128 * 2)}), 32),
			netip.MustParsePrefix(fmt.Sprintf("2001:db8::%x/128", 2*i+0x1000)))
	}
	want = append(want, netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("fe80::1234/128"))
	took := func(what string, f func() error) {
		t.Helper()
		began := time.Now()
		if err := f(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		t.Logf("%s: %v", what, time.Since(began))
	}
	foreign := netip.MustParsePrefix("198.18.0.0/32")
	if err := nl.RouteAdd(&netlink.Route{
		LinkIndex: eth0.Index, Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST,
		Dst: hostNet(foreign.Addr()),
	}); err != nil {
		t.Fatal(err)
	}
	took("add", func() error { return h.AddLocal(eth0.Index, eth0.Table, want) })
	took("add again", func() error { return h.AddLocal(eth0.Index, eth0.Table, want) })
	if err := h.AddLocal(other.Index, other.Table, want[:2]); err != nil {
		t.Fatal(err)
	}
	var got []netip.Prefix
	took("list", func() (err error) {
		got, err = h.Local(eth0.Index, eth0.Table)
		return err
	})
	sorted := slices.SortedFunc(slices.Values(want), comparePrefixes)
	slices.SortFunc(got, comparePrefixes)
	if !slices.Equal(got, sorted) {
		t.Errorf("%d routes are listed, want the %d that were added", len(got), len(want))
	}
	took("remove", func() error {
		return h.DelLeftLocal(eth0.Index, func(p netip.Prefix) bool { return p != want[2] })
	})
	took("remove again", func() error { return h.DelLocal(eth0.Index, eth0.Table, want[3:]) })
	if got, err := h.Local(eth0.Index, eth0.Table); err != nil || !slices.Equal(got, want[2:3]) {
		t.Errorf("%v remain, %v; want %v", got, err, want[2])
	}
	if got, err := h.Local(other.Index, other.Table); err != nil || len(got) != 2 {
		t.Errorf("the other interface has %v, %v; want %v", got, err, want[:2])
	}
	left, err := nl.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{
		Table: unix.RT_TABLE_LOCAL, Dst: hostNet(foreign.Addr()), LinkIndex: eth0.Index,
	}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_DST|netlink.RT_FILTER_OIF)
	if err != nil || len(left) != 1 || left[0].Protocol == RouteProtocol {
		t.Errorf("the route of another program: %v, %v", left, err)
	}
	if err := h.AddLocal(eth0.Index, 0, []netip.Prefix{netip.MustParsePrefix("::/0"), {}}); err == nil {
		t.Error("an impossible route was added")
	}
}

func comparePrefixes(a, b netip.Prefix) int { return a.Compare(b) }
