// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// maxRoutes is how many routes of the host are read. A router with a full table has more, and reading
// them repeatedly would be too expensive.
const maxRoutes = 50_000

// ErrManyRoutes means that the host has more routes than are read.
var ErrManyRoutes = fmt.Errorf("the host has more than %d routes", maxRoutes)

// Route is a unicast route of the host.
type Route struct {
	// Dst is the destination: a default route has prefix length 0.
	Dst      netip.Prefix
	Gateway  netip.Addr // invalid for a connected route
	Source   netip.Addr // preferred source; invalid if there is none
	IfIndex  int
	Table    int
	Protocol int
}

// String returns the route as iproute2 prints it, without its interface.
func (r Route) String() string {
	var b strings.Builder
	b.WriteString("default")
	if r.Dst.Bits() > 0 {
		b.Reset()
		b.WriteString(r.Dst.String())
	}
	if r.Gateway.IsValid() {
		b.WriteString(" via " + r.Gateway.String())
	}
	if r.Source.IsValid() {
		b.WriteString(" src " + r.Source.String())
	}
	if r.Table != unix.RT_TABLE_MAIN {
		fmt.Fprintf(&b, " table %d", r.Table)
	}
	return b.String()
}

// Kernel reports whether the kernel added the route with an address and removes it with the address.
func (r Route) Kernel() bool { return r.Protocol == unix.RTPROT_KERNEL }

// Routes returns the routes for which keep is true, of all tables but local. It uses a socket of its own,
// so that it can stop early. With ErrManyRoutes the list is incomplete.
func (*Host) Routes(keep func(Route) bool) ([]Route, error) {
	var out []Route
	seen := 0
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		anywhere := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if family == netlink.FAMILY_V6 {
			anywhere = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		err := netlink.RouteListFilteredIter(family, &netlink.Route{}, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
			seen++
			if r.Type != unix.RTN_UNICAST || r.Table == unix.RT_TABLE_LOCAL {
				return seen < maxRoutes
			}
			route := Route{Dst: prefixOf(r.Dst), IfIndex: r.LinkIndex, Table: r.Table, Protocol: int(r.Protocol)}
			if !route.Dst.IsValid() {
				route.Dst = anywhere
			}
			if gw, ok := netip.AddrFromSlice(r.Gw); ok {
				route.Gateway = gw.Unmap()
			}
			if src, ok := netip.AddrFromSlice(r.Src); ok {
				route.Source = src.Unmap()
			}
			if keep(route) {
				out = append(out, route)
			}
			return seen < maxRoutes
		})
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return out, fmt.Errorf("list the routes of the host: %w", err)
		}
		if seen >= maxRoutes {
			return out, ErrManyRoutes
		}
	}
	return out, nil
}
