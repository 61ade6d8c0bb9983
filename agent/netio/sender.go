// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Sender sends complete Ethernet frames out of one interface and holds the
// memberships of the CARP groups there. It is not safe for concurrent use.
type Sender struct {
	ifindex int
	raw     int   // AF_PACKET, sends only
	groups  []int // UDP sockets that hold the multicast memberships
}

// NewSender opens a sender on the interface. The socket is opened with protocol
// 0, so that it never receives, and it goes through the qdisc: the egress
// program fences what a late agent sends, and PACKET_QDISC_BYPASS would skip it.
func NewSender(ifindex int) (*Sender, error) {
	raw, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, unix.EPERM) {
			return nil, fmt.Errorf("open raw socket: %w: run vipd as root or give it CAP_NET_RAW", err)
		}
		return nil, fmt.Errorf("open raw socket: %w", err)
	}
	// Control priority, as adverts must not wait behind bulk traffic.
	if err := unix.SetsockoptInt(raw, unix.SOL_SOCKET, unix.SO_PRIORITY, 6 /* TC_PRIO_INTERACTIVE */); err != nil {
		return nil, errors.Join(fmt.Errorf("set the priority of the raw socket: %w", err), unix.Close(raw))
	}
	if err := unix.Bind(raw, &unix.SockaddrLinklayer{Ifindex: ifindex}); err != nil {
		return nil, errors.Join(fmt.Errorf("bind raw socket to interface %d: %w", ifindex, err), unix.Close(raw))
	}
	return &Sender{ifindex: ifindex, raw: raw}, nil
}

// Send hands one frame to the kernel. The egress fence's refusal comes back as
// an error (ENOBUFS), like a full queue.
func (s *Sender) Send(frame []byte) error {
	if _, err := unix.Write(s.raw, frame); err != nil {
		return fmt.Errorf("send frame on interface %d: %w", s.ifindex, err)
	}
	return nil
}

// Join makes the interface a member of the multicast group, so that filters of
// the NIC and snooping switches let adverts through.
func (s *Sender) Join(group netip.Addr) error {
	family := unix.AF_INET6
	if group.Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket for group %s: %w", group, err)
	}
	if group.Is4() {
		mreq := &unix.IPMreqn{Multiaddr: group.As4(), Ifindex: int32(s.ifindex)}
		err = unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, mreq)
	} else {
		mreq := &unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(s.ifindex)}
		err = unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, mreq)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("join %s on interface %d: %w", group, s.ifindex, err), unix.Close(fd))
	}
	s.groups = append(s.groups, fd)
	return nil
}

// Close ends memberships and releases the sockets.
func (s *Sender) Close() error {
	errs := []error{unix.Close(s.raw)}
	for _, fd := range s.groups {
		errs = append(errs, unix.Close(fd))
	}
	return errors.Join(errs...)
}
