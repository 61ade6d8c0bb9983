// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// newHost creates a network namespace with the interfaces eth0 and eth1, the two ends of a cable.
func newHost(t *testing.T) (*Host, netns.NsHandle, *netlink.Handle) {
	t.Helper()
	ns, nl, lo := newNetwork(t)
	within(t, ns, func() error { return os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0) })
	if err := nl.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	cable := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth1"}
	if err := nl.LinkAdd(cable); err != nil {
		t.Fatal(err)
	}
	eth0, err := nl.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if err := nl.LinkAddAltName(eth0, "the-uplink-of-this-host"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"eth0", "eth1"} {
		link, err := nl.LinkByName(name)
		if err == nil {
			err = nl.LinkSetUp(link)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var h *Host
	within(t, ns, func() (err error) {
		h, err = NewHost()
		return err
	})
	t.Cleanup(h.Close)
	for _, name := range []string{"eth0", "eth1"} {
		for began := time.Now(); ; time.Sleep(time.Millisecond) {
			if l, err := h.Link(name); err == nil && l.Up {
				break
			}
			if time.Since(began) > 10*time.Second {
				t.Fatalf("%s does not come up", name)
			}
		}
	}
	return h, ns, nl
}

// within runs f in the namespace.
func within(t *testing.T, ns netns.NsHandle, f func() error) {
	t.Helper()
	ended := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := netns.Set(ns)
		if err == nil {
			err = f()
		}
		ended <- err
	}()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// The dump has of each interface what a question for that one answers, and finds it by each of its names.
func TestAllLinksAgreeWithEach(t *testing.T) {
	t.Parallel()
	h, ns, _ := newHost(t)
	within(t, ns, func() error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/eth0/forwarding", []byte("1"), 0)
	})
	all, err := h.AllLinks()
	if err != nil || len(all) < 3 {
		t.Fatalf("%d links, %v", len(all), err)
	}
	links := NewLinks(all)
	for _, l := range all {
		named, err := h.Link(l.Name)
		if err != nil {
			t.Fatal(err)
		}
		at, err := h.LinkAt(l.Index)
		if err != nil {
			t.Fatal(err)
		}
		indexed, err := links.At(l.Index)
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range []Link{named, at, indexed} {
			if diff := cmp.Diff(l, other); diff != "" {
				t.Errorf("%s (-dump +alone):\n%s", l.Name, diff)
			}
		}
	}
	for _, read := range []func(string) (Link, error){links.Named, h.Link} {
		uplink, err := read("the-uplink-of-this-host")
		if err != nil || uplink.Name != "eth0" || !uplink.Up || !uplink.Ethernet || !uplink.Forwards6 {
			t.Errorf("by its alternative name: %+v, %v; want eth0, up, forwarding", uplink, err)
		}
		if other, err := read("eth1"); err != nil || other.Forwards6 {
			t.Errorf("%+v, %v; want no forwarding", other, err)
		}
		if _, err := read("eth9"); !errors.Is(err, ErrNoLink) {
			t.Errorf("an interface that does not exist: %v, want %v", err, ErrNoLink)
		}
	}
	if _, err := h.LinkAt(999); !errors.Is(err, ErrNoLink) {
		t.Errorf("an index that does not exist: %v, want %v", err, ErrNoLink)
	}
}

// The kernel shows whether an interface was set down or has no carrier.
func TestSetDown(t *testing.T) {
	t.Parallel()
	h, _, nl := newHost(t)
	if l, err := h.Link("eth0"); err != nil || l.SetDown {
		t.Errorf("up: %+v, %v", l, err)
	}
	eth0, err := nl.LinkByName("eth0")
	if err == nil {
		err = nl.LinkSetDown(eth0)
	}
	if err != nil {
		t.Fatal(err)
	}
	if l, err := h.Link("eth0"); err != nil || l.Up || !l.SetDown {
		t.Errorf("set down: %+v, %v", l, err)
	}
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		l, err := h.Link("eth1")
		if err != nil || l.SetDown || time.Since(began) > 10*time.Second {
			t.Fatalf("its peer, which loses its carrier: %+v, %v", l, err)
		}
		if !l.Up {
			break
		}
	}
}

// Addresses are listed with their prefixes, and vipd's own are recognised.
func TestAllAddresses(t *testing.T) {
	t.Parallel()
	h, _, nl := newHost(t)
	eth0, err := h.Link("eth0")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"192.0.2.11/24", "192.0.2.12/32", "2001:db8::11/64", "198.51.100.1/32 peer 198.51.100.2/30",
	} {
		a, err := netlink.ParseAddr(text)
		if err == nil {
			a.Flags |= unix.IFA_F_NODAD
			err = nl.AddrAdd(linkRef(eth0.Index), a)
		}
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	for _, ip := range []string{"192.0.2.100", "2001:db8::100"} {
		place(t, h, Placing{IfIndex: eth0.Index, Addr: netip.MustParseAddr(ip), Label: "eth0:carp1", Add: true})
	}
	all, err := h.AllAddresses()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, a := range all {
		if a.IfIndex == eth0.Index && !a.Prefix.Addr().IsLinkLocalUnicast() {
			got[a.Prefix.String()] = a.Ours
		}
	}
	want := map[string]bool{
		"192.0.2.11/24": false, "192.0.2.12/32": false, "2001:db8::11/64": false, "198.51.100.1/32": false,
		"192.0.2.100/32": true, "2001:db8::100/128": true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

// The MAC of a neighbour is what its entry has, in each state of the entry, and among others.
func TestNeighbour(t *testing.T) {
	t.Parallel()
	h, _, nl := newHost(t)
	eth0, err := h.Link("eth0")
	if err != nil {
		t.Fatal(err)
	}
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 7}
	for _, c := range []struct {
		own, peer string
		family    int
	}{{"192.0.2.11/24", "192.0.2.7", unix.AF_INET}, {"2001:db8::11/64", "2001:db8::7", unix.AF_INET6}} {
		own, err := netlink.ParseAddr(c.own)
		if err == nil {
			own.Flags = unix.IFA_F_NODAD
			err = nl.AddrAdd(linkRef(eth0.Index), own)
		}
		if err != nil {
			t.Fatal(err)
		}
		peer := netip.MustParseAddr(c.peer)
		if _, err := h.Neighbour(eth0.Index, peer); !errors.Is(err, ErrUnresolved) {
			t.Errorf("%s without an entry: %v, want %v", peer, err, ErrUnresolved)
		}
		for _, state := range []int{netlink.NUD_PERMANENT, netlink.NUD_STALE, netlink.NUD_REACHABLE} {
			for ip, mac := range map[string]net.HardwareAddr{peer.Next().String(): {2, 0, 0, 0, 0, 8}, c.peer: mac} {
				if err := nl.NeighSet(&netlink.Neigh{
					LinkIndex: eth0.Index, Family: c.family, IP: net.ParseIP(ip), HardwareAddr: mac, State: state,
				}); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := h.Neighbour(eth0.Index, peer); err != nil || got != [6]byte(mac) {
				t.Errorf("%s in state %d: %x, %v; want %x", peer, state, got, err, mac)
			}
		}
	}
}

// The kernel's echo of a renewal of vipd's own is no reason to read the host again, in neither family. What another
// program does to the address is one, and is about addresses only.
func TestOwnRenewalGivesNoHint(t *testing.T) {
	t.Parallel()
	h, ns, nl := newHost(t)
	eth0, err := h.Link("eth0")
	if err != nil {
		t.Fatal(err)
	}
	w := NewWatcher(slog.New(slog.DiscardHandler))
	watch(t, ns, w)
	hinted := func() bool {
		select {
		case <-w.Changed():
			return true
		case <-time.After(time.Second):
			return false
		}
	}
	for hinted() { // until the interfaces have settled
	}
	w.LinksChanged() // they have
	for _, c := range []struct{ vip, other string }{
		{"192.0.2.100", "192.0.2.12/24"}, {"2001:db8::100", "2001:db8::12/64"},
	} {
		vip := netip.MustParseAddr(c.vip)
		for _, add := range []bool{true, false, false} {
			place(t, h, Placing{IfIndex: eth0.Index, Addr: vip, Label: "eth0:carp1", Add: add})
		}
		if hinted() {
			t.Errorf("a hint after renewals of %s", vip)
		}
		a, err := netlink.ParseAddr(c.other)
		if err == nil {
			err = nl.AddrAdd(linkRef(eth0.Index), a)
		}
		if err != nil {
			t.Fatal(err)
		}
		if !hinted() || w.LinksChanged() { // the witness
			t.Errorf("no hint after the addition of %s, or one about links", c.other)
		}
		for hinted() {
		}
		if err := h.DelVIP(eth0.Index, vip); err != nil {
			t.Fatal(err)
		}
		if !hinted() {
			t.Errorf("no hint after the removal of %s", vip)
		}
	}
	if err := nl.LinkSetDown(linkRef(eth0.Index)); err != nil {
		t.Fatal(err)
	}
	for links := false; !links; links = w.LinksChanged() {
		if !hinted() {
			t.Fatal("no hint about links after one was taken down")
		}
	}
}
