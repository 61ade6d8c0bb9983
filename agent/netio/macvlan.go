// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// macvlanUnfit says why groups cannot run on a macvlan, and what to do; "" if they can.
//
// The kernel hands a macvlan the frames to its own MAC alone, but for mode passthru, in which it gets all of them. A
// lower interface of the same host has an IP stack of its own on the same wire: with arp_ignore 0 that answers for
// every address of the host, with a MAC that nothing fences.
func (h *Host) macvlanUnfit(l *netlink.Macvlan) (string, error) {
	at := l.Attrs()
	below := ""
	if at.NetNsID < 0 && at.ParentIndex != 0 {
		parent, err := h.nl.LinkByIndex(at.ParentIndex)
		if err != nil {
			return "", fmt.Errorf("read the interface below %s: %w", at.Name, err)
		}
		below = parent.Attrs().Name
	}
	if l.Mode != netlink.MACVLAN_MODE_PASSTHRU {
		text := fmt.Sprintf("interface %s is a macvlan in mode %s, which gets no frames to a virtual MAC; make it anew in mode passthru", at.Name, macvlanMode(l.Mode))
		if below != "" {
			text += fmt.Sprintf(", or configure interface = %q, which it is over", below)
		}
		return text, nil
	}
	if below != "" && arpIgnore(below) == 0 {
		return fmt.Sprintf("interface %s is a macvlan over %s of this host, which answers ARP for every address of the host with its own MAC; "+
			"configure interface = %q instead, or `sysctl -w net.ipv4.conf.%s.arp_ignore=1` and `vipctl reload`", at.Name, below, below, below), nil
	}
	return "", nil
}

func macvlanMode(m netlink.MacvlanMode) string {
	switch m {
	case netlink.MACVLAN_MODE_PRIVATE:
		return "private"
	case netlink.MACVLAN_MODE_VEPA:
		return "vepa"
	case netlink.MACVLAN_MODE_BRIDGE:
		return "bridge"
	case netlink.MACVLAN_MODE_SOURCE:
		return "source"
	default:
		return "unknown"
	}
}
