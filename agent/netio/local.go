// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Local routes make the host deliver packets to addresses that no interface has (AnyIP).

const (
	// localBatch is how many requests one sendmsg has. The acknowledgements of all of them fit into the receive buffer.
	localBatch = 128
	// localTimeout bounds the wait for an acknowledgement. The kernel handles the requests before sendmsg returns.
	localTimeout = time.Second
)

// batchSocket is a netlink socket for many requests at once.
type batchSocket struct {
	fd     int
	seq    uint32
	buffer []byte
}

func openBatchSocket() (*batchSocket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	timeout := unix.NsecToTimeval(int64(localTimeout))
	err = errors.Join(
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1), // without the request
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up netlink socket: %w", err), unix.Close(fd))
	}
	return &batchSocket{fd: fd, buffer: make([]byte, 1<<16)}, nil
}

func (s *batchSocket) close() error { return unix.Close(s.fd) }

// send makes up to localBatch requests and returns the kernel's answer to each.
func (s *batchSocket) send(requests []*nl.NetlinkRequest) ([]error, error) {
	var out []byte
	first := s.seq + 1
	for _, r := range requests {
		s.seq++
		r.Seq = s.seq
		r.Flags |= unix.NLM_F_REQUEST | unix.NLM_F_ACK
		out = append(out, r.Serialize()...) // its attributes are aligned
	}
	if err := unix.Sendto(s.fd, out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	answers := make([]error, len(requests))
	for left := len(requests); left > 0; {
		n, _, err := unix.Recvfrom(s.fd, s.buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the answers of netlink: %w", err)
		}
		for b := s.buffer[:n]; len(b) >= unix.SizeofNlMsghdr; {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.SizeofNlMsghdr+4 || size > len(b) {
				break
			}
			at := binary.NativeEndian.Uint32(b[8:]) - first
			if binary.NativeEndian.Uint16(b[4:]) == unix.NLMSG_ERROR && at < uint32(len(answers)) {
				if code := int32(binary.NativeEndian.Uint32(b[unix.SizeofNlMsghdr:])); code < 0 {
					answers[at] = unix.Errno(-code)
				}
				left--
			}
			b = b[min((size+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), len(b)):]
		}
	}
	return answers, nil
}

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
	for part := range slices.Chunk(prefixes, localBatch) {
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
