// SPDX-License-Identifier: Apache-2.0

package checks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vipd/agent/netio"
)

// linkProbe passes if an interface is up and has a carrier.
func linkProbe(name string) Probe {
	return func(context.Context) error {
		host, err := netio.NewHost()
		if err != nil {
			return err
		}
		defer host.Close()
		link, err := host.Link(name)
		switch {
		case errors.Is(err, netio.ErrNoLink):
			return netio.ErrNoLink
		case err != nil:
			return err
		case !link.Up:
			return errors.New("is down or has no carrier")
		}
		return nil
	}
}

var (
	errNoRoute   = errors.New("is not in the main routing table")
	errRouteDown = errors.New("is in the main routing table, but its interface is down")
	errBlackhole = errors.New("is in the main routing table, but is a blackhole route")
)

// routeProbe passes if a prefix is in the main routing table with a next hop that is up.
func routeProbe(target string) Probe {
	return func(ctx context.Context) error {
		prefix, err := netip.ParsePrefix(target)
		if err != nil {
			return err
		}
		nl, err := routeHandle(ctx)
		if err != nil {
			return err
		}
		defer nl.Close()
		// Looking up the entry for one address costs the same in a table of any size. The whole
		// table is read only if a more specific entry hides the prefix.
		if met, err := nl.RouteGetWithOptions(witness(prefix), &netlink.RouteGetOptions{FIBMatch: true}); err == nil {
			for i := range met {
				if isRoute(&met[i], prefix) && routeFault(&met[i]) == nil {
					return nil
				}
			}
		}
		return findRoute(nl, prefix)
	}
}

// findRoute searches the main table. Several routes of one prefix may differ in metric; one usable
// route is enough.
func findRoute(nl *netlink.Handle, prefix netip.Prefix) error {
	family := netlink.FAMILY_V6
	if prefix.Addr().Is4() {
		family = netlink.FAMILY_V4
	}
	fault := errNoRoute
	filter := &netlink.Route{Table: unix.RT_TABLE_MAIN}
	err := nl.RouteListFilteredIter(family, filter, netlink.RT_FILTER_TABLE, func(route netlink.Route) bool {
		if !isRoute(&route, prefix) {
			return true
		}
		fault = routeFault(&route)
		return fault != nil
	})
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("read the routing table: %w", err)
	}
	return fault
}

// witness returns an address that matches the prefix unless a more specific route hides it. The
// first address of a default route has a special meaning; the ones used here are in ranges that are
// not routed.
func witness(prefix netip.Prefix) net.IP {
	switch {
	case prefix.Bits() > 0:
		return prefix.Addr().AsSlice()
	case prefix.Addr().Is4():
		return net.IPv4(240, 0, 0, 1)
	}
	return net.ParseIP("8000::1")
}

func isRoute(route *netlink.Route, prefix netip.Prefix) bool {
	if route.Table != unix.RT_TABLE_MAIN && route.Table != unix.RT_TABLE_UNSPEC {
		return false
	}
	if route.Dst == nil {
		return prefix.Bits() == 0
	}
	addr, ok := netip.AddrFromSlice(route.Dst.IP)
	bits, _ := route.Dst.Mask.Size()
	if prefix.Addr().Is4() {
		addr = addr.Unmap()
	}
	return ok && netip.PrefixFrom(addr, bits) == prefix
}

func routeFault(route *netlink.Route) error {
	const down = unix.RTNH_F_DEAD | unix.RTNH_F_LINKDOWN
	switch {
	case route.Type != unix.RTN_UNICAST && route.Type != unix.RTN_LOCAL:
		return errBlackhole
	case len(route.MultiPath) == 0 && route.Flags&down != 0:
		return errRouteDown
	case len(route.MultiPath) == 0:
		return nil
	}
	for _, hop := range route.MultiPath {
		if hop.Flags&down == 0 {
			return nil
		}
	}
	return errRouteDown
}

// routeHandle opens a netlink socket that times out with the context.
func routeHandle(ctx context.Context) (*netlink.Handle, error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := nl.SetSocketTimeout(max(time.Until(deadline), time.Millisecond)); err != nil {
			nl.Close()
			return nil, fmt.Errorf("open netlink socket: %w", err)
		}
	}
	return nl, nil
}
