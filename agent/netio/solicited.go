// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// solicitedPart is how many memberships change before a rest. Each takes the kernel 50 to 100 us with the lock that
	// all of netlink needs.
	solicitedPart = 16
	solicitedRest = time.Millisecond
	// solicitedRetry is when memberships are tried again that the kernel refused.
	solicitedRetry = 30 * time.Second
)

// Solicited joins the solicited-node groups of IPv6 addresses that the host delivers to by local routes: the kernel
// joins those of addresses only. Without them the filter of a NIC, or a switch with MLD snooping, may drop neighbour
// solicitations.
type Solicited struct {
	log     *slog.Logger
	changed chan struct{}

	mu     sync.Mutex
	wanted map[int][]netip.Addr // groups, by interface

	in      map[joinKey]*membership // of Run
	sockets []*membership           // the same
	refused bool                    // reported
}

// NewSolicited returns one without memberships.
func NewSolicited(log *slog.Logger) *Solicited {
	return &Solicited{
		log: log, changed: make(chan struct{}, 1), wanted: map[int][]netip.Addr{}, in: map[joinKey]*membership{},
	}
}

// Want has Run join the groups of these addresses on an interface, and leave all others there. It does not wait.
func (s *Solicited) Want(ifindex int, vips []netip.Addr) {
	var groups []netip.Addr
	for _, vip := range vips {
		if vip.Is6() {
			groups = append(groups, solicitedNode(vip))
		}
	}
	s.mu.Lock()
	s.wanted[ifindex] = groups
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// solicitedNode returns the group in which solicitations for an address are sent (RFC 4291, 2.7.1).
func solicitedNode(addr netip.Addr) netip.Addr {
	group := [16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff}
	of := addr.As16()
	copy(group[13:], of[13:])
	return netip.AddrFrom16(group)
}

// Run keeps the memberships until ctx ends. They end with the process.
func (s *Solicited) Run(ctx context.Context) {
	for ctx.Err() == nil {
		var again <-chan time.Time
		if !s.bring(ctx) {
			again = time.After(solicitedRetry)
		}
		select {
		case <-ctx.Done():
		case <-s.changed:
		case <-again:
		}
	}
}

// bring joins and leaves what is due, and reports whether the kernel took it.
func (s *Solicited) bring(ctx context.Context) bool {
	wanted := map[joinKey]bool{}
	s.mu.Lock()
	for ifindex, groups := range s.wanted {
		for _, group := range groups {
			wanted[joinKey{ifindex, group}] = true
		}
	}
	s.mu.Unlock()
	n := 0
	rest := func() bool {
		if n++; n%solicitedPart == 0 {
			select {
			case <-ctx.Done():
			case <-time.After(solicitedRest):
			}
		}
		return ctx.Err() == nil
	}
	for key, m := range s.in {
		if wanted[key] {
			continue
		}
		_ = m.leave(key) // the interface may be gone
		delete(s.in, key)
		if !rest() {
			return true
		}
	}
	s.sockets = slices.DeleteFunc(s.sockets, func(m *membership) bool {
		if len(m.in) > 0 {
			return false
		}
		_ = unix.Close(m.fd)
		return true
	})
	all := true
	for key := range wanted {
		if s.in[key] != nil {
			continue
		}
		if m, err := s.join(key); err == nil {
			s.in[key] = m
		} else {
			all = s.refuse(key, err)
		}
		if !rest() {
			return true
		}
	}
	s.refused = s.refused && !all
	return all
}

// refuse reports the first of several failures, and returns false.
func (s *Solicited) refuse(key joinKey, err error) bool {
	if !s.refused && !errors.Is(err, unix.ENODEV) {
		s.log.Warn("solicited-node group not joined: switches with MLD snooping may drop neighbour solicitations",
			"group", key.group, "ifindex", key.ifindex, "err", err)
		s.refused = true
	}
	return false
}

// join joins a group with a socket that has room, or with a new one.
func (s *Solicited) join(key joinKey) (*membership, error) {
	for _, m := range s.sockets {
		if m.full {
			continue
		}
		err := m.join(key)
		if err == nil {
			return m, nil
		}
		if !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.ENOMEM) { // see Outlet.Join
			return nil, err
		}
		m.full = true
	}
	m, err := newMembership(true)
	if err != nil {
		return nil, err
	}
	if err := m.join(key); err != nil {
		return nil, errors.Join(err, unix.Close(m.fd))
	}
	s.sockets = append(s.sockets, m)
	return m, nil
}
