// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// DelMAC removes an address from the receive filter. It is not an error if the address is not there.
func (h *Host) DelMAC(ifindex int, mac [6]byte) error {
	err := h.nl.NeighDel(filterEntry(ifindex, mac))
	if err == nil || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || h.needsNone(ifindex, err) {
		return nil
	}
	return fmt.Errorf("remove %x from the receive filter of interface %d: %w", mac, ifindex, err)
}

// needsNone reports whether the interface that refused an entry receives every frame anyway. A VXLAN
// device uses these entries for its forwarding table.
func (h *Host) needsNone(ifindex int, refused error) bool {
	if !errors.Is(refused, unix.EINVAL) && !errors.Is(refused, unix.EOPNOTSUPP) && !errors.Is(refused, unix.EAFNOSUPPORT) {
		return false
	}
	link, err := h.nl.LinkByIndex(ifindex)
	return err == nil && filterless(link.Type())
}

// filterless reports whether interfaces of a kind pass every frame to the host, as tunnels do. Other kinds
// without a filter (veth, tap, dummy) turn promiscuous with the first entry and report that.
func filterless(kind string) bool {
	switch kind {
	case "vxlan", "geneve", "bareudp", "gretap", "ip6gretap", "erspan", "ip6erspan":
		return true
	}
	return false
}

func filterEntry(ifindex int, mac [6]byte) *netlink.Neigh {
	return &netlink.Neigh{
		LinkIndex:    ifindex,
		Family:       unix.AF_BRIDGE,
		State:        netlink.NUD_PERMANENT,
		Flags:        netlink.NTF_SELF,
		HardwareAddr: mac[:],
	}
}
