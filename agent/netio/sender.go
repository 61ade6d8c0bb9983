// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// sendBuffer is the send buffer for all interfaces together. An interface that does not transmit keeps a
// queue of frames, which must not block the others.
const sendBuffer = 64 << 20

// Sender sends complete Ethernet frames and holds the multicast memberships on all interfaces. It uses one
// AF_PACKET socket, since the kernel takes about 15 ms to close each. It is not safe for concurrent use.
type Sender struct {
	raw    int           // AF_PACKET, send only
	joined []*membership // UDP sockets
	batch  batch         // reused by SendAll
}

// Outlet holds the memberships of one interface of a [Sender].
type Outlet struct {
	s       *Sender
	ifindex int
	groups  []netip.Addr
}

// membership is a socket with memberships of one family on many interfaces.
type membership struct {
	fd   int
	v6   bool
	full bool
	in   map[joinKey]bool
}

type joinKey struct {
	ifindex int
	group   netip.Addr
}

// NewSender opens the socket. Protocol 0 makes it receive nothing. It sends through the qdisc, not with
// PACKET_QDISC_BYPASS: the egress program fences what a late agent sends.
func NewSender() (*Sender, error) {
	raw, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, unix.EPERM) {
			return nil, fmt.Errorf("open raw socket: %w; run vipd as root or with CAP_NET_RAW", err)
		}
		return nil, fmt.Errorf("open raw socket: %w", err)
	}
	// Adverts must not wait behind bulk traffic.
	if err := unix.SetsockoptInt(raw, unix.SOL_SOCKET, unix.SO_PRIORITY, 6 /* TC_PRIO_INTERACTIVE */); err != nil {
		return nil, errors.Join(fmt.Errorf("set the priority of the raw socket: %w", err), unix.Close(raw))
	}
	if err := unix.SetsockoptInt(raw, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer); err != nil {
		return nil, errors.Join(fmt.Errorf("set the send buffer of the raw socket: %w", err), unix.Close(raw))
	}
	return &Sender{raw: raw}, nil
}

// On returns the outlet for an interface.
func (s *Sender) On(ifindex int) *Outlet {
	return &Outlet{s: s, ifindex: ifindex}
}

// Close ends all memberships and releases the sockets.
func (s *Sender) Close() error {
	errs := []error{unix.Close(s.raw)}
	for _, m := range s.joined {
		errs = append(errs, unix.Close(m.fd))
	}
	s.joined = nil
	return errors.Join(errs...)
}

// sendError says what the kernel's error means for a frame.
func sendError(ifindex int, err error) error {
	why := ""
	switch {
	case errors.Is(err, unix.ENOBUFS):
		why = ": an egress filter dropped it, or the queue is full"
	case errors.Is(err, unix.EMSGSIZE):
		why = ": it exceeds the interface's MTU"
	}
	return fmt.Errorf("send frame on interface %d%s: %w", ifindex, why, err)
}

// Join joins the multicast group on the interface, so that the NIC's filter and snooping switches pass
// adverts.
func (o *Outlet) Join(group netip.Addr) error {
	key := joinKey{o.ifindex, group}
	for _, m := range o.s.joined {
		if m.v6 != group.Is6() || m.full {
			continue
		}
		err := m.join(key)
		if err == nil {
			o.groups = append(o.groups, group)
			return nil
		}
		// The kernel limits the memberships of a socket (igmp_max_memberships, optmem_max).
		if !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.ENOMEM) {
			return err
		}
		m.full = true
	}
	m, err := newMembership(group.Is6())
	if err != nil {
		return fmt.Errorf("open socket for group %s: %w", group, err)
	}
	if err := m.join(key); err != nil {
		return errors.Join(err, unix.Close(m.fd))
	}
	o.s.joined = append(o.s.joined, m)
	o.groups = append(o.groups, group)
	return nil
}

// Close ends the interface's memberships. The interface may no longer exist.
func (o *Outlet) Close() error {
	var errs []error
	for _, group := range o.groups {
		key := joinKey{o.ifindex, group}
		for _, m := range o.s.joined {
			if m.in[key] {
				errs = append(errs, m.leave(key))
			}
		}
	}
	o.groups = nil
	o.s.joined = slices.DeleteFunc(o.s.joined, func(m *membership) bool {
		if len(m.in) > 0 {
			return false
		}
		errs = append(errs, unix.Close(m.fd))
		return true
	})
	return errors.Join(errs...)
}

func newMembership(v6 bool) (*membership, error) {
	family := unix.AF_INET
	if v6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &membership{fd: fd, v6: v6, in: map[joinKey]bool{}}, nil
}

func (m *membership) join(k joinKey) error {
	if err := m.set(k, unix.IPV6_JOIN_GROUP, unix.IP_ADD_MEMBERSHIP); err != nil {
		return fmt.Errorf("join %s on interface %d: %w", k.group, k.ifindex, err)
	}
	m.in[k] = true
	return nil
}

// leave ends a membership. It is not an error if it ended with its interface.
func (m *membership) leave(k joinKey) error {
	delete(m.in, k)
	m.full = false
	err := m.set(k, unix.IPV6_LEAVE_GROUP, unix.IP_DROP_MEMBERSHIP)
	if err == nil || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil
	}
	return fmt.Errorf("leave %s on interface %d: %w", k.group, k.ifindex, err)
}

func (m *membership) set(k joinKey, opt6, opt4 int) error {
	if m.v6 {
		mreq := &unix.IPv6Mreq{Multiaddr: k.group.As16(), Interface: uint32(k.ifindex)}
		return unix.SetsockoptIPv6Mreq(m.fd, unix.IPPROTO_IPV6, opt6, mreq)
	}
	mreq := &unix.IPMreqn{Multiaddr: k.group.As4(), Ifindex: int32(k.ifindex)}
	return unix.SetsockoptIPMreqn(m.fd, unix.IPPROTO_IP, opt4, mreq)
}
