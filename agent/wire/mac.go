// SPDX-License-Identifier: Apache-2.0

package wire

import "net/netip"

// Fixed addresses of the protocol; never assigned to.
var (
	// MulticastV4 is the group CARP advertises to over IPv4.
	MulticastV4 = netip.AddrFrom4([4]byte{224, 0, 0, 18})
	// MulticastV6 is the group CARP advertises to over IPv6, ff02::12.
	MulticastV6 = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0x12})
	// Broadcast is the Ethernet broadcast address.
	Broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
)

// VirtualMAC is the MAC address of a redundancy group, 00:00:5e:00:01:VHID. CARP uses
// it for IPv4 and IPv6 alike.
func VirtualMAC(vhid uint8) [6]byte {
	return [6]byte{0x00, 0x00, 0x5e, 0x00, 0x01, vhid}
}

// MulticastMAC is the Ethernet group address of a multicast IP address (RFC 1112,
// RFC 2464), and all zeros for an address that is not multicast.
func MulticastMAC(addr netip.Addr) [6]byte {
	addr = addr.Unmap()
	switch {
	case !addr.IsMulticast():
		return [6]byte{}
	case addr.Is4():
		a := addr.As4()
		return [6]byte{0x01, 0x00, 0x5e, a[1] & 0x7f, a[2], a[3]}
	default:
		a := addr.As16()
		return [6]byte{0x33, 0x33, a[12], a[13], a[14], a[15]}
	}
}
