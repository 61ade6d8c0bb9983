// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// AddMAC puts a unicast address into the interface's receive filter, as
// `bridge fdb add ADDRESS dev IF self` does. A NIC without promiscuous mode
// drops the frames to a virtual MAC before XDP could see them. An address that
// is there already is no error.
func (h *Host) AddMAC(ifindex int, mac [6]byte) error {
	err := h.nl.NeighAppend(filterEntry(ifindex, mac))
	if err == nil || errors.Is(err, unix.EEXIST) {
		return nil
	}
	return fmt.Errorf("add %x to the receive filter of interface %d: %w", mac, ifindex, err)
}

// DelMAC takes an address out of the receive filter. An address that is not
// there is no error.
func (h *Host) DelMAC(ifindex int, mac [6]byte) error {
	err := h.nl.NeighDel(filterEntry(ifindex, mac))
	if err == nil || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("remove %x from the receive filter of interface %d: %w", mac, ifindex, err)
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
