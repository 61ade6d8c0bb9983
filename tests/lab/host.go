// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Host is a network namespace with a loopback interface and a veth for each segment it joined.
type Host struct {
	Name string

	lab  *Lab
	ns   netns.NsHandle
	nl   *netlink.Handle
	ipv6 bool // the kernel has it
}

// NewHost makes a host that is not plugged in anywhere.
func (l *Lab) NewHost(name string) *Host {
	l.Helper()
	full := l.name + "-" + name
	ns, err := newNamespace(full)
	l.check(err, "host %s", name)
	l.Cleanup(func() {
		ns.Close()
		if err := netns.DeleteNamed(full); err != nil {
			l.Errorf("remove namespace %s: %v", full, err)
		}
	})
	nl, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	l.check(err, "host %s: open netlink", name)
	l.Cleanup(nl.Close)
	h := &Host{Name: name, lab: l, ns: ns, nl: nl}
	// Without duplicate address detection an interface is what it is going to be soon after it came up.
	h.ipv6 = h.setDefault("ipv6/conf/default/accept_dad", "0")
	h.SetUp("lo")
	return h
}

// setDefault sets a sysctl below net and reports whether the kernel has it.
func (h *Host) setDefault(name, value string) bool {
	h.lab.Helper()
	err := h.Within(func() error { return os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0o644) })
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	h.lab.check(err, "%s: set %s", h.Name, name)
	return true
}

// Set sets a sysctl below net that every kernel has.
func (h *Host) Set(name, value string) {
	h.lab.Helper()
	if !h.setDefault(name, value) {
		h.lab.Fatalf("%s: this kernel has no net/%s", h.Name, name)
	}
}

// SetUp sets an interface administratively up.
func (h *Host) SetUp(ifname string) {
	h.lab.Helper()
	h.lab.check(h.nl.LinkSetUp(h.link(ifname)), "%s: set %s up", h.Name, ifname)
}

// SetDown sets an interface administratively down.
func (h *Host) SetDown(ifname string) {
	h.lab.Helper()
	h.lab.check(h.nl.LinkSetDown(h.link(ifname)), "%s: set %s down", h.Name, ifname)
}

// Rename gives an interface another name; it stays up.
func (h *Host) Rename(ifname, name string) {
	h.lab.Helper()
	h.lab.check(h.nl.LinkSetName(h.link(ifname), name), "%s: rename %s to %s", h.Name, ifname, name)
}

// MoveTo moves an interface into another host's namespace, where it is down and has no addresses.
func (h *Host) MoveTo(other *Host, ifname string) {
	h.lab.Helper()
	h.lab.check(h.nl.LinkSetNsFd(h.link(ifname), int(other.ns)), "%s: move %s to %s", h.Name, ifname, other.Name)
}

// AddAddress adds an address with its prefix length; IPv6 addresses skip duplicate address detection.
func (h *Host) AddAddress(ifname, address string) {
	h.lab.Helper()
	a, err := netlink.ParseAddr(address)
	h.lab.check(err, "address %s", address)
	if a.IP.To4() == nil {
		a.Flags |= ifaFlagNoDAD
	}
	h.lab.check(h.nl.AddrAdd(h.link(ifname), a), "%s: add %s to %s", h.Name, address, ifname)
}

// DelAddress removes an address.
func (h *Host) DelAddress(ifname, address string) {
	h.lab.Helper()
	a, err := netlink.ParseAddr(address)
	h.lab.check(err, "address %s", address)
	h.lab.check(h.nl.AddrDel(h.link(ifname), a), "%s: remove %s from %s", h.Name, address, ifname)
}

// HasAddress reports whether the interface carries the address, whatever its prefix length.
func (h *Host) HasAddress(ifname string, address netip.Addr) bool {
	h.lab.Helper()
	list, err := h.nl.AddrList(h.link(ifname), netlink.FAMILY_ALL)
	h.lab.check(err, "%s: list addresses of %s", h.Name, ifname)
	for _, a := range list {
		if got, ok := netip.AddrFromSlice(a.IP); ok && got.Unmap() == address {
			return true
		}
	}
	return false
}

// UnicastFilter lists the unicast addresses in the interface's hardware filter, besides its own.
func (h *Host) UnicastFilter(ifname string) []string {
	h.lab.Helper()
	link := h.link(ifname)
	list, err := h.nl.NeighListExecute(netlink.Ndmsg{Family: afBridge, Index: uint32(link.Attrs().Index)})
	h.lab.check(err, "%s: list the filter of %s", h.Name, ifname)
	var macs []string
	for _, n := range list {
		mac := n.HardwareAddr
		if n.LinkIndex == link.Attrs().Index && len(mac) == 6 && mac[0]&1 == 0 &&
			mac.String() != link.Attrs().HardwareAddr.String() {
			macs = append(macs, mac.String())
		}
	}
	return macs
}

// Neighbour returns the hardware address the host's stack holds for an IP address, "" when it holds none.
func (h *Host) Neighbour(ifname string, address netip.Addr) string {
	h.lab.Helper()
	list, err := h.nl.NeighList(h.link(ifname).Attrs().Index, netlink.FAMILY_ALL)
	h.lab.check(err, "%s: list neighbours of %s", h.Name, ifname)
	for _, n := range list {
		if got, ok := netip.AddrFromSlice(n.IP); ok && got.Unmap() == address {
			return n.HardwareAddr.String()
		}
	}
	return ""
}

// XDPProgram returns the id of the XDP program on the interface, 0 when there is none.
func (h *Host) XDPProgram(ifname string) uint32 {
	h.lab.Helper()
	if xdp := h.link(ifname).Attrs().Xdp; xdp != nil && xdp.Attached {
		return xdp.ProgId
	}
	return 0
}

// Within runs f on a thread in the host's namespace.
func (h *Host) Within(f func() error) error { return within(h.ns, f) }

// Received returns how many frames the interface's driver has taken so far, including those that were dropped.
func (h *Host) Received(ifname string) uint64 {
	h.lab.Helper()
	return h.link(ifname).Attrs().Statistics.RxPackets
}

// IfIndex returns the index of an interface of the host.
func (h *Host) IfIndex(ifname string) int {
	h.lab.Helper()
	return h.link(ifname).Attrs().Index
}

func (h *Host) link(name string) netlink.Link {
	h.lab.Helper()
	link, err := h.nl.LinkByName(name)
	h.lab.check(err, "%s: find interface %s", h.Name, name)
	return link
}

// settled reports whether every IPv6 address of the interface has its local route, which the kernel adds in its own
// time: a snapshot before that would find it new later.
func (h *Host) settled(ifname string) bool {
	h.lab.Helper()
	addrs, err := h.nl.AddrList(h.link(ifname), netlink.FAMILY_V6)
	h.lab.check(err, "%s: list addresses of %s", h.Name, ifname)
	routes, err := h.nl.RouteListFiltered(
		netlink.FAMILY_V6,
		&netlink.Route{Table: unix.RT_TABLE_LOCAL},
		netlink.RT_FILTER_TABLE,
	)
	h.lab.check(err, "%s: list routes", h.Name)
	for _, a := range addrs {
		if !slices.ContainsFunc(routes, func(r netlink.Route) bool { return r.Dst != nil && r.Dst.IP.Equal(a.IP) }) {
			return false
		}
	}
	return len(addrs) > 0 || !h.ipv6
}

// String returns the host's name and namespace, for messages.
func (h *Host) String() string {
	return fmt.Sprintf("%s (namespace %s-%s)", h.Name, h.lab.name, h.Name)
}

// ClsactFilters counts the egress filters of an interface's clsact qdisc.
func (h *Host) ClsactFilters(ifname string) int {
	h.lab.Helper()
	filters, err := h.nl.FilterList(h.link(ifname), netlink.HANDLE_MIN_EGRESS)
	if err != nil {
		return 0 // no clsact qdisc
	}
	return len(filters)
}

// Forget removes what the host's stack holds for an address, so that it asks anew.
func (h *Host) Forget(ifname string, address netip.Addr) {
	h.lab.Helper()
	err := h.nl.NeighDel(&netlink.Neigh{LinkIndex: h.IfIndex(ifname), IP: address.AsSlice()})
	h.lab.check(err, "%s: forget %s", h.Name, address)
}
