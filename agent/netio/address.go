// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// RouteProtocol marks the connected routes that are vipd's (the IP
	// protocol number of CARP; rt_protos leaves it free), so that they can be
	// told from everybody else's.
	RouteProtocol = 112
	// routeMetric is high: a route of the operator's to the same prefix wins.
	routeMetric = 4_000_000
)

// SetVIP adds the virtual address to the interface, or renews it. It is
// always a /32 or /128 so that the host's own addresses keep their places, in
// scope host so that the kernel never picks it as a source address by itself,
// and it lives for valid (rounded up to a second): the kernel takes the address
// of an agent that is gone away by itself. label is what old tools (SIOCGIFADDR,
// ifconfig) know the address by, so that it never stands for the interface's own;
// one that does not begin with the interface's name, or is too long, is left out.
func (h *Host) SetVIP(ifindex int, ip netip.Addr, label string, valid time.Duration) error {
	a := &netlink.Addr{
		IPNet:    hostNet(ip),
		Scope:    unix.RT_SCOPE_HOST,
		ValidLft: int((valid + time.Second - 1) / time.Second),
	}
	if ip.Is4() {
		a.PreferedLft = a.ValidLft
		if len(label) < unix.IFNAMSIZ {
			a.Label = label
		}
	} else {
		// Deprecated from the start: usable, never chosen. No DAD: the other
		// node's copy of this very address is the point of the exercise.
		a.Scope = unix.RT_SCOPE_UNIVERSE
		a.Flags = unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE
	}
	if err := h.nl.AddrReplace(linkRef(ifindex), a); err != nil {
		return fmt.Errorf("add %s to interface %d: %w", ip, ifindex, err)
	}
	return nil
}

// DelVIP takes the virtual address off the interface. An address that is not
// there is no error.
func (h *Host) DelVIP(ifindex int, ip netip.Addr) error {
	a := &netlink.Addr{IPNet: hostNet(ip)}
	err := h.nl.AddrDel(linkRef(ifindex), a)
	if err == nil || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("remove %s from interface %d: %w", ip, ifindex, err)
}

// OnLink says whether the host reaches the address directly through an address
// of its own on that interface. own is the interface's address list.
func OnLink(vip netip.Prefix, own []netip.Prefix) bool {
	return slices.ContainsFunc(own, func(p netip.Prefix) bool {
		return !p.IsSingleIP() && p.Contains(vip.Addr())
	})
}

// AddConnectedRoute makes the VIP's prefix reachable on the interface, for a
// VIP in a prefix of its own, and reports whether the route was missing. One that
// is there is left alone, and nobody who watches routes is told of it. The same
// prefix on another interface has a route of its own, behind the one that was first.
func (h *Host) AddConnectedRoute(ifindex int, vip netip.Prefix) (added bool, err error) {
	// Not RouteAdd: that refuses what differs in the interface alone.
	err = h.nl.RouteAppend(connectedRoute(ifindex, vip))
	switch {
	case errors.Is(err, unix.EEXIST):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("add route to %s through interface %d: %w", vip.Masked(), ifindex, err)
	}
	return true, nil
}

// DelConnectedRoute takes the route of AddConnectedRoute away. A route that is
// not there is no error.
func (h *Host) DelConnectedRoute(ifindex int, vip netip.Prefix) error {
	err := h.nl.RouteDel(connectedRoute(ifindex, vip))
	if err == nil || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("remove route to %s through interface %d: %w", vip.Masked(), ifindex, err)
}

func connectedRoute(ifindex int, vip netip.Prefix) *netlink.Route {
	p := vip.Masked()
	return &netlink.Route{
		LinkIndex: ifindex,
		Dst:       &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())},
		Protocol:  RouteProtocol,
		Priority:  routeMetric,
		Scope:     netlink.SCOPE_LINK,
	}
}

// DelOwnRoutes removes every route of ours through the interface for whose prefix keep
// is false: what an agent that was killed left behind.
func (h *Host) DelOwnRoutes(ifindex int, keep func(netip.Prefix) bool) error {
	routes, err := h.nl.RouteListFiltered(netlink.FAMILY_ALL,
		&netlink.Route{LinkIndex: ifindex, Protocol: RouteProtocol},
		netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("list routes of interface %d: %w", ifindex, err)
	}
	var errs []error
	for i := range routes {
		if keep(prefixOf(routes[i].Dst)) {
			continue
		}
		if err := h.nl.RouteDel(&routes[i]); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("remove route %s: %w", routes[i], err))
		}
	}
	return errors.Join(errs...)
}

// prefixOf is the zero Prefix for a default route.
func prefixOf(dst *net.IPNet) netip.Prefix {
	if dst == nil {
		return netip.Prefix{}
	}
	addr, _ := netip.AddrFromSlice(dst.IP)
	bits, _ := dst.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), bits)
}

func hostNet(ip netip.Addr) *net.IPNet {
	return &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(ip.BitLen(), ip.BitLen())}
}
