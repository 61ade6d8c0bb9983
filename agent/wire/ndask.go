// SPDX-License-Identifier: Apache-2.0

package wire

import "net/netip"

// Types of neighbour discovery messages (RFC 4861).
const (
	NeighborSolicit = 135
	NeighborAdvert  = icmpv6NeighborAdvert
)

const (
	ndOptionSourceLink = 1
	ndMessage          = 24 // header, flags or reserved, target
)

// SolicitedNode is the multicast address that a host with the IPv6 address a hears
// questions for it on.
func SolicitedNode(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 11: 0x01, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

// AppendNS appends the ICMPv6 message that asks for an IPv6 address, with the asker's
// link-layer address. Its checksum is zero: a raw ICMPv6 socket fills it in.
func AppendNS(b []byte, target netip.Addr, mac [6]byte) []byte {
	t := target.As16()
	b = append(b, NeighborSolicit, 0, 0, 0, 0, 0, 0, 0)
	b = append(b, t[:]...)
	b = append(b, ndOptionSourceLink, 1)
	return append(b, mac[:]...)
}

// ParseNA reads an ICMPv6 message, from its type on. It says which address is at which
// link-layer address; an advertisement without one says nothing. The checksum is the
// kernel's business.
func ParseNA(b []byte) (target netip.Addr, mac [6]byte, ok bool) {
	if len(b) < ndMessage || b[0] != NeighborAdvert || b[1] != 0 {
		return netip.Addr{}, mac, false
	}
	target = netip.AddrFrom16([16]byte(b[8:ndMessage]))
	for o := b[ndMessage:]; len(o) >= 8; {
		size := int(o[1]) * 8
		if size == 0 || size > len(o) {
			return netip.Addr{}, mac, false
		}
		if o[0] == ndOptionTargetLink && size == 8 {
			return target, [6]byte(o[2:8]), true
		}
		o = o[size:]
	}
	return netip.Addr{}, mac, false
}
