// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrUnresolved says that the link-layer address of a peer is not known now. The
// kernel has been asked to find it out; the next try may know it.
var ErrUnresolved = errors.New("no neighbour entry yet")

// ErrOtherInterface says that the way to a peer leads through another interface
// than the group's.
var ErrOtherInterface = errors.New("the route to it leads through another interface")

// Neighbour returns the link-layer address that frames to peer leave the
// interface with: the peer's own, or that of the next hop of the route to it.
func (h *Host) Neighbour(ifindex int, peer netip.Addr) ([6]byte, error) {
	hop, err := h.nextHop(ifindex, peer)
	if err != nil {
		return [6]byte{}, err
	}
	family := unix.AF_INET6
	if hop.Is4() {
		family = unix.AF_INET
	}
	list, err := h.nl.NeighList(ifindex, family)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return [6]byte{}, fmt.Errorf("list neighbours of interface %d: %w", ifindex, err)
	}
	const known = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE |
		netlink.NUD_PERMANENT | netlink.NUD_NOARP
	for _, n := range list {
		ip, ok := netip.AddrFromSlice(n.IP)
		if !ok || ip.Unmap() != hop || n.State&known == 0 || len(n.HardwareAddr) != 6 {
			continue
		}
		if n.State&(netlink.NUD_PERMANENT|netlink.NUD_NOARP|netlink.NUD_REACHABLE) == 0 {
			h.askFor(ifindex, family, hop) // usable, and confirmed meanwhile
		}
		return [6]byte(n.HardwareAddr), nil
	}
	h.askFor(ifindex, family, hop)
	return [6]byte{}, fmt.Errorf("peer %s on interface %d: %w", peer, ifindex, ErrUnresolved)
}

func (h *Host) nextHop(ifindex int, peer netip.Addr) (netip.Addr, error) {
	if peer.IsLinkLocalUnicast() {
		return peer.WithZone(""), nil
	}
	routes, err := h.nl.RouteGetWithOptions(peer.AsSlice(), &netlink.RouteGetOptions{OifIndex: ifindex})
	if err != nil {
		return netip.Addr{}, fmt.Errorf("route to peer %s: %w", peer, err)
	}
	for _, r := range routes {
		if r.LinkIndex != ifindex {
			return netip.Addr{}, fmt.Errorf("peer %s on interface %d: %w", peer, ifindex, ErrOtherInterface)
		}
		if gw, ok := netip.AddrFromSlice(r.Gw); ok {
			return gw.Unmap(), nil
		}
	}
	return peer, nil
}

// askFor makes the kernel resolve the address, as traffic of its own would. That
// it cannot is told by the entry that stays away.
func (h *Host) askFor(ifindex, family int, ip netip.Addr) {
	_ = h.nl.NeighSet(&netlink.Neigh{
		LinkIndex: ifindex, Family: family, IP: ip.AsSlice(), Flags: unix.NTF_USE, State: netlink.NUD_NONE,
	})
}
