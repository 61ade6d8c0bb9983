// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// place puts them on the host, and fails if one is refused.
func place(t *testing.T, h *Host, what ...Placing) {
	t.Helper()
	h.Place(what)
	for _, p := range what {
		if p.Err != nil {
			t.Fatal(p.Err)
		}
	}
}

// Of a batch, larger than what the kernel takes at once, each address has its own answer.
func TestPlace(t *testing.T) {
	t.Parallel()
	h, _, nl := newHost(t)
	eth0, err := h.Link("eth0")
	if err != nil {
		t.Fatal(err)
	}
	foreign := netip.MustParseAddr("192.0.2.12")
	if err := nl.AddrAdd(linkRef(eth0.Index), &netlink.Addr{IPNet: hostNet(foreign)}); err != nil {
		t.Fatal(err)
	}
	mac := [6]byte{0, 0, 0x5e, 0, 1, 7}
	left := netip.MustParseAddr("2001:db8::100")
	place(t, h, Placing{IfIndex: eth0.Index, Addr: left, Add: true}) // by an earlier vipd
	const nowhere = 999
	what := []Placing{
		{IfIndex: eth0.Index, MAC: mac},
		{IfIndex: eth0.Index, Addr: foreign, Label: "eth0:carp7", Add: true},
		{IfIndex: eth0.Index, Addr: left, Add: true},
		{IfIndex: nowhere, Addr: netip.MustParseAddr("192.0.2.101"), Add: true},
		{IfIndex: nowhere, MAC: mac},
		{IfIndex: eth0.Index, MAC: mac},
	}
	const many = 2*batchMost + 1
	for i := range many {
		addr := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
		what = append(what, Placing{IfIndex: eth0.Index, Addr: addr, Label: "eth0:carp7", Add: true})
	}
	h.Place(what)
	wrong := map[int]error{1: ErrForeign, 3: unix.ENODEV, 4: unix.ENODEV}
	for i, p := range what {
		if want := wrong[i]; !errors.Is(p.Err, want) || want == nil && p.Err != nil {
			t.Errorf("%d, %v on %d: %v, want %v", i, p.Addr, p.IfIndex, p.Err, want)
		}
	}
	all, err := h.AllAddresses()
	if err != nil {
		t.Fatal(err)
	}
	ours := 0
	for _, a := range all {
		if a.Ours {
			ours++
		}
	}
	if ours != many+1 {
		t.Errorf("%d addresses of ours, want %d", ours, many+1)
	}
	expectAddresses(t, nl, left, what[len(what)-1].Addr)
	if entries := filterEntries(t, nl, eth0.Index); !slices.Contains(entries, mac) {
		t.Errorf("receive filter %x, want %x in it", entries, mac)
	}
	if err := h.DelMAC(eth0.Index, mac); err != nil {
		t.Fatal(err)
	}
	if entries := filterEntries(t, nl, eth0.Index); slices.Contains(entries, mac) {
		t.Errorf("receive filter %x after the removal", entries)
	}
}

// expectAddresses checks how the addresses are on eth0.
func expectAddresses(t *testing.T, nl *netlink.Handle, v6, v4 netip.Addr) {
	t.Helper()
	addrs, err := nl.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, a := range addrs {
		addr, _ := netip.AddrFromSlice(a.IP)
		addr = addr.Unmap()
		if addr != v6 && addr != v4 {
			continue
		}
		found++
		ones, _ := a.Mask.Size()
		const made = unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE
		switch lasts := time.Duration(a.ValidLft) * time.Second; {
		case ones != addr.BitLen() || lasts > VIPLife || lasts < VIPLife-10*time.Second:
			t.Errorf("%s: /%d for %v", addr, ones, lasts)
		case addr == v4 && (a.Scope != unix.RT_SCOPE_HOST || a.Label != "eth0:carp7" || a.PreferedLft != a.ValidLft):
			t.Errorf("%s: %+v", addr, a)
		case addr == v6 && (a.Scope != unix.RT_SCOPE_UNIVERSE || a.Flags&made != made || a.PreferedLft != 0):
			t.Errorf("%s: %+v", addr, a)
		}
	}
	if found != 2 {
		t.Errorf("%d of %s and %s are there", found, v6, v4)
	}
}

// filterEntries lists the addresses of an interface's receive filter.
func filterEntries(t *testing.T, nl *netlink.Handle, ifindex int) (out [][6]byte) {
	t.Helper()
	entries, err := nl.NeighList(ifindex, unix.AF_BRIDGE)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if len(e.HardwareAddr) == 6 && e.Flags&netlink.NTF_SELF != 0 {
			out = append(out, [6]byte(e.HardwareAddr))
		}
	}
	return out
}
