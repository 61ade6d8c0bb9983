// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What the doctor reads of the host. Nothing here changes anything.

// Neighbouring is an interface of the host beside those of vipd.
type Neighbouring struct {
	Name      string
	MAC       [6]byte
	Addresses []netip.Prefix
	// ARPIgnore is the larger of the interface's setting and that for all, as the
	// kernel takes it; -1 when it could not be read.
	ARPIgnore int
}

// Interfaces lists the host's Ethernet interfaces that are up.
func (h *Host) Interfaces() ([]Neighbouring, error) {
	links, err := h.nl.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var out []Neighbouring
	for _, l := range links {
		at := l.Attrs()
		if at.Flags&net.FlagUp == 0 || len(at.HardwareAddr) != 6 || at.RawFlags&unix.IFF_LOOPBACK != 0 {
			continue
		}
		addrs, err := h.Addresses(at.Index)
		if err != nil {
			return nil, err
		}
		out = append(out, Neighbouring{
			Name: at.Name, MAC: [6]byte(at.HardwareAddr), Addresses: addrs, ARPIgnore: arpIgnore(at.Name),
		})
	}
	return out, nil
}

func arpIgnore(ifname string) int {
	worst := -1
	for _, of := range []string{"all", ifname} {
		data, err := os.ReadFile(filepath.Join("/proc/sys/net/ipv4/conf", of, "arp_ignore"))
		if err != nil {
			return -1
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil {
			return -1
		}
		worst = max(worst, n)
	}
	return worst
}

// Receives says whether the interface's receive filter lets a unicast address through:
// because it is in it, or because the interface is promiscuous.
func (h *Host) Receives(ifindex int, mac [6]byte) (inFilter, promiscuous bool, err error) {
	link, err := h.nl.LinkByIndex(ifindex)
	if err != nil {
		return false, false, fmt.Errorf("read interface %d: %w", ifindex, err)
	}
	promiscuous = link.Attrs().Promisc > 0 || link.Attrs().RawFlags&unix.IFF_PROMISC != 0
	list, err := h.nl.NeighListExecute(netlink.Ndmsg{Family: unix.AF_BRIDGE, Index: uint32(ifindex)})
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return false, promiscuous, fmt.Errorf("read the receive filter of interface %d: %w", ifindex, err)
	}
	for _, n := range list {
		if n.LinkIndex == ifindex && len(n.HardwareAddr) == 6 && [6]byte(n.HardwareAddr) == mac {
			return true, promiscuous, nil
		}
	}
	return false, promiscuous, nil
}

// At lists the addresses that the host's neighbour tables have at a link-layer address.
func (h *Host) At(ifindex int, mac [6]byte) ([]netip.Addr, error) {
	list, err := h.nl.NeighList(ifindex, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list neighbours of interface %d: %w", ifindex, err)
	}
	var out []netip.Addr
	for _, n := range list {
		if ip, ok := netip.AddrFromSlice(n.IP); ok && len(n.HardwareAddr) == 6 && [6]byte(n.HardwareAddr) == mac {
			out = append(out, ip.Unmap())
		}
	}
	return out, nil
}
