// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ErrUnresolved means that the link-layer address of a peer is not known yet. The kernel has been asked
// to resolve it.
var ErrUnresolved = errors.New("no neighbour entry yet")

// ErrOtherInterface means that the route to a peer leads through another interface than the group's.
var ErrOtherInterface = errors.New("the route to it leads through another interface")

// ErrOwn means that a peer is an address of this host.
var ErrOwn = errors.New("it is an address of this host")

// resolved are the states of an entry whose link-layer address the kernel would use.
const resolved = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE

// neighbour is an entry of a neighbour table with an Ethernet address.
type neighbour struct {
	addr  netip.Addr
	mac   [6]byte
	state int
}

// neighbours lists the neighbour entries of an interface.
func (h *Host) neighbours(ifindex, family int) ([]neighbour, error) {
	list, err := h.nl.NeighList(ifindex, family)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list neighbours of interface %d: %w", ifindex, err)
	}
	var out []neighbour
	for _, n := range list {
		if ip, ok := netip.AddrFromSlice(n.IP); ok && len(n.HardwareAddr) == 6 {
			out = append(out, neighbour{ip.Unmap(), [6]byte(n.HardwareAddr), n.State})
		}
	}
	return out, nil
}

// Neighbour returns the Ethernet destination of frames to a peer on an interface: the peer's own
// address or that of the next hop.
func (h *Host) Neighbour(ifindex int, peer netip.Addr) ([6]byte, error) {
	hop, err := h.nextHop(ifindex, peer)
	if err != nil {
		return [6]byte{}, err
	}
	family := unix.AF_INET6
	if hop.Is4() {
		family = unix.AF_INET
	}
	n, err := h.neighbour(ifindex, family, hop)
	if err != nil {
		return [6]byte{}, fmt.Errorf("peer %s on interface %d: %w", peer, ifindex, err)
	}
	const static = netlink.NUD_PERMANENT | netlink.NUD_NOARP
	if n.state&(static|netlink.NUD_REACHABLE) == 0 {
		h.askFor(ifindex, family, hop) // not there, or usable but to be confirmed
	}
	if n.state&(resolved|static) == 0 {
		return [6]byte{}, fmt.Errorf("peer %s on interface %d: %w", peer, ifindex, ErrUnresolved)
	}
	return n.mac, nil
}

// neighbour asks the kernel for one entry, however many it has (Linux 5.0 and newer). The state is 0 if there is none
// with an Ethernet address.
func (h *Host) neighbour(ifindex, family int, ip netip.Addr) (out neighbour, err error) {
	err = h.request(unix.RTM_GETNEIGH, 0, unix.RTM_NEWNEIGH, func(m []byte) {
		n, err := netlink.NeighDeserialize(m)
		if err == nil && len(n.HardwareAddr) == 6 {
			out = neighbour{ip, [6]byte(n.HardwareAddr), n.State}
		}
	}, &netlink.Ndmsg{Family: uint8(family), Index: uint32(ifindex)}, nl.NewRtAttr(unix.NDA_DST, ip.AsSlice()))
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return neighbour{}, fmt.Errorf("read the neighbour entry of %s: %w", ip, err)
	}
	return out, nil
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
		if r.Type == unix.RTN_LOCAL {
			return netip.Addr{}, fmt.Errorf("peer %s: %w", peer, ErrOwn)
		}
		if r.LinkIndex != ifindex {
			return netip.Addr{}, fmt.Errorf("peer %s on interface %d: %w", peer, ifindex, ErrOtherInterface)
		}
		if gw, ok := netip.AddrFromSlice(r.Gw); ok {
			return gw.Unmap(), nil
		}
	}
	return peer, nil
}

// askFor makes the kernel resolve the address, as its own traffic would. If that fails, no entry appears.
func (h *Host) askFor(ifindex, family int, ip netip.Addr) {
	_ = h.nl.NeighSet(&netlink.Neigh{
		LinkIndex: ifindex, Family: family, IP: ip.AsSlice(), Flags: unix.NTF_USE, State: netlink.NUD_NONE,
	})
}

// Remembered holds neighbour entries from before the segment was asked for the same addresses: the
// kernel also receives the answers and keeps the last one.
type Remembered struct {
	host    *Host
	ifindex int
	macs    map[netip.Addr][6]byte
	err     error
}

// Remember reads the entries of the addresses that have a virtual MAC.
func (h *Host) Remember(ifindex int, addrs []netip.Addr, virtual func(mac [6]byte) bool) Remembered {
	r := Remembered{host: h, ifindex: ifindex, macs: map[netip.Addr][6]byte{}}
	r.err = r.each(addrs, func(a netip.Addr, mac [6]byte) error {
		if virtual(mac) {
			r.macs[a] = mac
		}
		return nil
	})
	return r
}

// Restore writes back the entries whose link-layer address has changed.
func (r Remembered) Restore() error {
	if r.err != nil || len(r.macs) == 0 {
		return r.err
	}
	addrs := make([]netip.Addr, 0, len(r.macs))
	for a := range r.macs {
		addrs = append(addrs, a)
	}
	return r.each(addrs, func(a netip.Addr, mac [6]byte) error {
		was := r.macs[a]
		if mac == was {
			return nil
		}
		family := unix.AF_INET6
		if a.Is4() {
			family = unix.AF_INET
		}
		err := r.host.nl.NeighSet(&netlink.Neigh{
			LinkIndex: r.ifindex, Family: family, IP: a.AsSlice(), HardwareAddr: was[:], State: netlink.NUD_STALE,
		})
		if err != nil {
			return fmt.Errorf("restore the neighbour entry of %s: %w", a, err)
		}
		return nil
	})
}

func (r Remembered) each(addrs []netip.Addr, do func(a netip.Addr, mac [6]byte) error) error {
	list, err := r.host.neighbours(r.ifindex, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range list {
		if slices.Contains(addrs, n.addr) {
			errs = append(errs, do(n.addr, n.mac))
		}
	}
	return errors.Join(errs...)
}

// At returns the addresses that the neighbour tables of the host have for a link-layer address.
func (h *Host) At(ifindex int, mac [6]byte) ([]netip.Addr, error) {
	list, err := h.neighbours(ifindex, netlink.FAMILY_ALL)
	var out []netip.Addr
	for _, n := range list {
		if n.mac == mac {
			out = append(out, n.addr)
		}
	}
	return out, err
}

// Resolved returns the IPv4 neighbours of an interface whose link-layer address is known.
func (h *Host) Resolved(ifindex int) ([]netip.Addr, error) {
	list, err := h.neighbours(ifindex, unix.AF_INET)
	var out []netip.Addr
	for _, n := range list {
		if n.state&resolved != 0 {
			out = append(out, n.addr)
		}
	}
	return out, err
}
