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

// The functions of this file read the host for the doctor. They change nothing.

// Neighbouring is an Ethernet interface of the host.
type Neighbouring struct {
	Name      string
	MAC       [6]byte
	Addresses []netip.Prefix
	// ARPIgnore is the larger of the settings for the interface and for all, which the kernel uses; -1
	// if it could not be read.
	ARPIgnore int
}

// Interfaces returns the Ethernet interfaces of the host that are up.
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

// Filter describes what an interface's receive filter does with one unicast address.
type Filter struct {
	// HasMAC reports that the address is in the filter, Promiscuous that the filter passes everything,
	// None that the interface has no filter.
	HasMAC, Promiscuous, None bool
}

// Receives reads the interface's receive filter for a unicast address.
func (h *Host) Receives(ifindex int, mac [6]byte) (Filter, error) {
	link, err := h.nl.LinkByIndex(ifindex)
	if err != nil {
		return Filter{}, fmt.Errorf("read interface %d: %w", ifindex, err)
	}
	f := Filter{
		Promiscuous: link.Attrs().Promisc > 0 || link.Attrs().RawFlags&unix.IFF_PROMISC != 0,
		None:        filterless(link.Type()),
	}
	list, err := h.nl.NeighListExecute(netlink.Ndmsg{Family: unix.AF_BRIDGE, Index: uint32(ifindex)})
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return f, fmt.Errorf("read the receive filter of interface %d: %w", ifindex, err)
	}
	for _, n := range list {
		if n.LinkIndex == ifindex && len(n.HardwareAddr) == 6 && [6]byte(n.HardwareAddr) == mac {
			f.HasMAC = true
		}
	}
	return f, nil
}
