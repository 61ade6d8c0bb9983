// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// RouteProtocol marks vipd's connected routes. It is the IP protocol number of CARP, which rt_protos
	// does not assign.
	RouteProtocol = 112
	// routeMetric is high, so that a route of the operator to the same prefix takes precedence.
	routeMetric = 4_000_000
)

// ErrForeign means that the host has the address as an ordinary one.
var ErrForeign = errors.New("the host has it as an ordinary address")

// VIPLife is the lifetime of a virtual address after its last renewal: the kernel removes what a killed agent leaves.
// An address with a longer lifetime is not vipd's.
const VIPLife = time.Minute

// Address is one address of an interface.
type Address struct {
	IfIndex int
	Prefix  netip.Prefix
	// Ours reports that this vipd or an earlier one added it.
	Ours bool
}

// ours reports whether Place added the address. Scope, flags and lifetimes must match: an address that
// an operator made permanent or that another program took over is no longer vipd's.
func ours(p netip.Prefix, scope, flags, preferred, valid int) bool {
	if !p.IsSingleIP() || flags&unix.IFA_F_PERMANENT != 0 || time.Duration(valid)*time.Second > VIPLife {
		return false
	}
	if p.Addr().Is4() {
		return scope == unix.RT_SCOPE_HOST
	}
	const made = unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE
	return preferred == 0 && flags&made == made
}

// AllAddresses returns the addresses of all interfaces of the host, in the kernel's order, by one dump.
func (h *Host) AllAddresses() ([]Address, error) {
	var out []Address
	err := h.dump(unix.RTM_GETADDR, unix.RTM_NEWADDR, func() { out = out[:0] }, func(m []byte) {
		if a, ok := parseAddress(m); ok {
			out = append(out, a)
		}
	}, nl.NewIfAddrmsg(unix.AF_UNSPEC))
	if err != nil {
		return nil, fmt.Errorf("list the addresses of the host: %w", err)
	}
	return out, nil
}

// parseAddress reads an address of a dump.
func parseAddress(m []byte) (Address, bool) {
	if len(m) < unix.SizeofIfAddrmsg {
		return Address{}, false
	}
	head := nl.DeserializeIfAddrmsg(m)
	flags, preferred, valid := int(head.Flags), 0, 0
	var addr, local netip.Addr
	for kind, value := range attributes(m[unix.SizeofIfAddrmsg:]) {
		switch {
		case kind == unix.IFA_ADDRESS:
			addr, _ = netip.AddrFromSlice(value)
		case kind == unix.IFA_LOCAL: // with a peer, IFA_ADDRESS is the peer's
			local, _ = netip.AddrFromSlice(value)
		case kind == unix.IFA_FLAGS && len(value) >= 4:
			flags = int(binary.NativeEndian.Uint32(value))
		case kind == unix.IFA_CACHEINFO && len(value) >= 8:
			preferred = int(binary.NativeEndian.Uint32(value))
			valid = int(binary.NativeEndian.Uint32(value[4:]))
		}
	}
	bits := int(head.Prefixlen)
	if local.IsValid() && local != addr {
		addr, bits = local, local.BitLen() // the prefix is the peer's
	}
	p := netip.PrefixFrom(addr, bits)
	own := ours(p, int(head.Scope), flags, preferred, valid)
	return Address{IfIndex: int(head.Index), Prefix: p, Ours: own}, addr.IsValid()
}

// isOurs returns ErrForeign if the interface has the address as an ordinary one.
func (h *Host) isOurs(ifindex int, ip netip.Addr) error {
	all, err := h.AllAddresses()
	if err != nil {
		return err
	}
	for _, a := range all {
		if a.IfIndex == ifindex && a.InWay(ip) {
			return ErrForeign
		}
	}
	return nil
}

// InWay reports whether the address is not vipd's and the kernel would confuse it with the VIP: IPv4
// addresses differ by prefix length, IPv6 addresses do not.
func (a Address) InWay(ip netip.Addr) bool {
	return !a.Ours && a.Prefix.Addr() == ip && (ip.Is6() || a.Prefix.IsSingleIP())
}

// DelVIP removes the virtual address from the interface. The caller knows that it is vipd's. It is not an
// error if it is not there.
func (h *Host) DelVIP(ifindex int, ip netip.Addr) error {
	a := &netlink.Addr{IPNet: hostNet(ip)}
	err := h.nl.AddrDel(linkRef(ifindex), a)
	if err == nil || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("remove %s from interface %d: %w", ip, ifindex, err)
}

// maxLabel is IFNAMSIZ without the NUL.
const maxLabel = unix.IFNAMSIZ - 1

// Label returns the label of a virtual address: INTERFACE:carpVHID, shortened to the kernel's limit. It
// differs from the interface's name, since SIOCGIFADDR returns the first address whose label is the name.
// It starts with the whole name if possible, because old tools look up the interface by it; otherwise the
// name is cut, as the kernel does with labels when an interface is renamed.
func Label(ifname string, vhid uint8) string {
	for _, format := range []string{"%s:carp%d", "%s:c%d", "%s:%d"} {
		if label := fmt.Sprintf(format, ifname, vhid); len(label) <= maxLabel {
			return label
		}
	}
	suffix := fmt.Sprintf(":carp%d", vhid)
	return ifname[:maxLabel-len(suffix)] + suffix
}

// OnLink reports whether the VIP is in the network of one of the interface's own addresses.
func OnLink(vip netip.Prefix, own []netip.Prefix) bool {
	return slices.ContainsFunc(own, func(p netip.Prefix) bool {
		return !p.IsSingleIP() && p.Contains(vip.Addr())
	})
}

// AddConnectedRoute adds a route to the VIP's prefix through the interface, for a VIP in a prefix of its
// own, and reports whether the route was missing. An existing route is not touched, so that watchers of
// routes see no event. The same prefix on another interface gets another route after the first. table is
// the interface's, see [Link.Table].
func (h *Host) AddConnectedRoute(ifindex, table int, vip netip.Prefix) (added bool, err error) {
	// Not RouteAdd, which refuses a route that differs by its interface only.
	err = h.nl.RouteAppend(connectedRoute(ifindex, table, vip))
	switch {
	case errors.Is(err, unix.EEXIST):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("add route to %s through interface %d: %w", vip.Masked(), ifindex, err)
	}
	return true, nil
}

// DelConnectedRoute removes the route of AddConnectedRoute. It is not an error if it is not there.
func (h *Host) DelConnectedRoute(ifindex, table int, vip netip.Prefix) error {
	err := h.nl.RouteDel(connectedRoute(ifindex, table, vip))
	if err == nil || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("remove route to %s through interface %d: %w", vip.Masked(), ifindex, err)
}

func connectedRoute(ifindex, table int, vip netip.Prefix) *netlink.Route {
	p := vip.Masked()
	return &netlink.Route{
		LinkIndex: ifindex,
		Table:     table,
		Dst:       &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())},
		Protocol:  RouteProtocol,
		Priority:  routeMetric,
		Scope:     netlink.SCOPE_LINK,
	}
}

// DelOwnRoutes removes vipd's routes through the interface in all tables, except those whose prefix keep
// accepts, and except local routes. They were left by an agent that was killed.
func (h *Host) DelOwnRoutes(ifindex int, keep func(netip.Prefix) bool) error {
	routes, err := h.nl.RouteListFiltered(netlink.FAMILY_ALL,
		&netlink.Route{LinkIndex: ifindex, Protocol: RouteProtocol},
		netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE) // table 0 means all
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("list routes of interface %d: %w", ifindex, err)
	}
	var errs []error
	for i := range routes {
		if routes[i].Type == unix.RTN_LOCAL || keep(prefixOf(routes[i].Dst)) {
			continue
		}
		if err := h.nl.RouteDel(&routes[i]); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("remove route %s: %w", routes[i], err))
		}
	}
	return errors.Join(errs...)
}

// prefixOf returns the prefix of a route, the zero Prefix for a default route.
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
