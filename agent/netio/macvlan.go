// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// macvlanUnfit returns why groups cannot run on a macvlan and what to do, or "" if they can.
//
// The kernel passes only frames to its own MAC to a macvlan, except in mode passthru. A lower interface
// on the same host has an IP stack on the same segment: with arp_ignore 0 it answers ARP for every
// address of the host, with a MAC that is not fenced.
func macvlanUnfit(l *netlink.Macvlan, other func(ifindex int) (rawLink, error)) (string, error) {
	at := l.Attrs()
	below := ""
	if at.NetNsID < 0 && at.ParentIndex != 0 {
		parent, err := other(at.ParentIndex)
		if err != nil {
			return "", fmt.Errorf("read the interface below %s: %w", at.Name, err)
		}
		below = parent.Attrs().Name
	}
	if l.Mode != netlink.MACVLAN_MODE_PASSTHRU {
		text := fmt.Sprintf("interface %s is a macvlan in mode %s, which receives no frames to a virtual MAC; "+
			"create it again in mode passthru", at.Name, macvlanMode(l.Mode))
		if below != "" {
			text += fmt.Sprintf(", or configure interface = %q, its lower interface", below)
		}
		return text, nil
	}
	if below != "" && arpIgnore(below) == 0 {
		return fmt.Sprintf("interface %s is a macvlan over %s of this host, which answers ARP for every address "+
			"of the host with its own MAC; configure interface = %q instead, or run "+
			"`sysctl -w net.ipv4.conf.%s.arp_ignore=1` and `vipctl reload`", at.Name, below, below, below), nil
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
