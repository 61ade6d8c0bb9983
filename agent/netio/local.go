// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Local routes make the host deliver packets to addresses that no interface has (AnyIP).

// AddLocal adds local routes to the prefixes through the interface. It is not an error if one is there. table is the
// interface's, see [Link.Table].
func (h *Host) AddLocal(ifindex, table int, prefixes []netip.Prefix) error {
	const flags = unix.NLM_F_CREATE | unix.NLM_F_APPEND // as for AddConnectedRoute
	return h.local("add", unix.RTM_NEWROUTE, flags, ifindex, table, prefixes, unix.EEXIST)
}

// DelLocal removes local routes of AddLocal. It is not an error if one is not there.
func (h *Host) DelLocal(ifindex, table int, prefixes []netip.Prefix) error {
	return h.local("remove", unix.RTM_DELROUTE, 0, ifindex, table, prefixes, unix.ESRCH, unix.ENODEV)
}

// local makes a request for each of the prefixes. The error names the first that was refused.
func (h *Host) local(
	verb string, kind, flags, ifindex, table int, prefixes []netip.Prefix, fine ...error,
) error {
	var first error
	failed := 0
	for part := range slices.Chunk(prefixes, batchMost) {
		requests := make([]*nl.NetlinkRequest, 0, len(part))
		for _, p := range part {
			requests = append(requests, localRequest(kind, flags, ifindex, table, p))
		}
		answers, err := h.batch.send(requests)
		if err != nil {
			return fmt.Errorf("%s local routes of interface %d: %w", verb, ifindex, err)
		}
		for i, err := range answers {
			if err == nil || slices.ContainsFunc(fine, func(f error) bool { return errors.Is(err, f) }) {
				continue
			}
			failed++
			if first == nil {
				first = fmt.Errorf("%s local route to %s through interface %d: %w", verb, part[i], ifindex, err)
			}
		}
	}
	if failed > 1 {
		return fmt.Errorf("%w, and %d more", first, failed-1)
	}
	return first
}

func localRequest(kind, flags, ifindex, table int, p netip.Prefix) *nl.NetlinkRequest {
	msg := &nl.RtMsg{RtMsg: unix.RtMsg{
		Family:   unix.AF_INET6,
		Dst_len:  uint8(p.Bits()),
		Table:    unix.RT_TABLE_UNSPEC, // RTA_TABLE has it
		Protocol: RouteProtocol,
		Scope:    unix.RT_SCOPE_HOST,
		Type:     unix.RTN_LOCAL,
	}}
	if p.Addr().Is4() {
		msg.Family = unix.AF_INET
	}
	return &nl.NetlinkRequest{
		NlMsghdr: unix.NlMsghdr{Type: uint16(kind), Flags: uint16(flags)},
		Data: []nl.NetlinkRequestData{
			msg,
			nl.NewRtAttr(unix.RTA_DST, p.Addr().AsSlice()),
			nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(ifindex))),
			nl.NewRtAttr(unix.RTA_TABLE, nl.Uint32Attr(uint32(localTable(table)))),
			nl.NewRtAttr(unix.RTA_PRIORITY, nl.Uint32Attr(routeMetric)),
		},
	}
}

// localTable returns the table that has the local routes of interfaces with that table: a VRF has one for all.
func localTable(table int) int {
	if table == unix.RT_TABLE_MAIN {
		return unix.RT_TABLE_LOCAL
	}
	return table
}

// Local returns vipd's local routes through the interface. The kernel selects them, so that other tables of a router
// cost nothing.
func (h *Host) Local(ifindex, table int) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		var of []netip.Prefix
		msg := &nl.RtMsg{RtMsg: unix.RtMsg{Family: family, Protocol: RouteProtocol, Type: unix.RTN_LOCAL}}
		err := dumpOn(h.strict, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, func() { of = nil }, func(m []byte) {
			if p, ok := parseLocal(m, ifindex); ok {
				of = append(of, p)
			}
		}, msg,
			nl.NewRtAttr(unix.RTA_TABLE, nl.Uint32Attr(uint32(localTable(table)))),
			nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(ifindex))))
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) { // no such table, or interface
			return nil, fmt.Errorf("list the local routes of interface %d: %w", ifindex, err)
		}
		out = append(out, of...)
	}
	return out, nil
}

// openStrict opens a socket on which the kernel selects what a dump returns (NETLINK_GET_STRICT_CHK).
func openStrict() (map[int]*nl.SocketHandle, error) {
	own, err := openOwn()
	if err != nil {
		return nil, err
	}
	s := own[unix.NETLINK_ROUTE]
	if err := unix.SetsockoptInt(s.Socket.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1); err != nil {
		s.Close()
		return nil, fmt.Errorf("set up netlink socket: %w", err)
	}
	return own, nil
}

// parseLocal reads a route of a dump, and reports whether it is one of AddLocal.
func parseLocal(m []byte, ifindex int) (netip.Prefix, bool) {
	if len(m) < unix.SizeofRtMsg {
		return netip.Prefix{}, false
	}
	msg := nl.DeserializeRtMsg(m)
	if msg.Protocol != RouteProtocol || msg.Type != unix.RTN_LOCAL || msg.Flags&unix.RTM_F_CLONED != 0 {
		return netip.Prefix{}, false
	}
	var addr netip.Addr
	through := 0
	for kind, value := range attributes(m[unix.SizeofRtMsg:]) {
		switch {
		case kind == unix.RTA_DST:
			addr, _ = netip.AddrFromSlice(value)
		case kind == unix.RTA_OIF && len(value) >= 4:
			through = int(binary.NativeEndian.Uint32(value))
		}
	}
	return netip.PrefixFrom(addr, int(msg.Dst_len)), addr.IsValid() && through == ifindex
}

// DelLeftLocal removes those of vipd's local routes through the interface that an earlier vipd left. It is not an error
// if the interface is gone.
func (h *Host) DelLeftLocal(ifindex int, left func(netip.Prefix) bool) error {
	link, err := h.LinkAt(ifindex)
	if errors.Is(err, ErrNoLink) {
		return nil
	}
	if err != nil {
		return err
	}
	there, err := h.Local(ifindex, link.Table)
	if err != nil {
		return err
	}
	return h.DelLocal(ifindex, link.Table, slices.DeleteFunc(there, func(p netip.Prefix) bool { return !left(p) }))
}
