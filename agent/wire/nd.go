// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"net/netip"
)

const (
	protocolICMPv6        = 58
	icmpv6NeighborAdvert  = 136
	ndOptionTargetLink    = 2
	ndHopLimit            = 255
	ndAdvertSize          = 32 // header, flags, target, one link-layer option
	ndFlagRouter          = 1 << 31
	ndFlagOverride        = 1 << 29
	unsolicitedNAFrameLen = etherSize + ipv6Size + ndAdvertSize
)

// AllNodes is ff02::1, the destination of unsolicited neighbour advertisements.
var AllNodes = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 1})

// UnsolicitedNA returns the frame that announces an IPv6 VIP (RFC 4861, 7.2.6), or nil if the VIP is not
// IPv6. Ethernet source and target link-layer address are the virtual MAC; Override is set, Solicited is
// not. router reports whether this host forwards: neighbours remove a router that stops announcing it.
func UnsolicitedNA(vhid uint8, vip netip.Addr, router bool) []byte {
	if !vip.Is6() || vip.Is4In6() {
		return nil
	}
	vip = vip.WithZone("")
	mac, src, dst := VirtualMAC(vhid), vip.As16(), AllNodes.As16()
	b := make([]byte, 0, unsolicitedNAFrameLen)
	b = appendEther(b, MulticastMAC(AllNodes), mac, etherTypeIPv6)
	b = binary.BigEndian.AppendUint32(b, ipv6VersionWord)
	b = binary.BigEndian.AppendUint16(b, ndAdvertSize)
	b = append(b, protocolICMPv6, ndHopLimit)
	b = append(b, src[:]...)
	b = append(b, dst[:]...)

	flags := uint32(ndFlagOverride)
	if router {
		flags |= ndFlagRouter
	}
	start := len(b)
	b = append(b, icmpv6NeighborAdvert, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, flags)
	b = append(b, src[:]...)
	b = append(b, ndOptionTargetLink, 1) // in units of 8 bytes
	b = append(b, mac[:]...)

	s := sum(0, src[:])
	s = sum(s, dst[:]) + protocolICMPv6 + ndAdvertSize
	binary.BigEndian.PutUint16(b[start+2:], ^fold(sum(s, b[start:])))
	return b
}

// Types of neighbour discovery messages (RFC 4861).
const (
	NeighborSolicit = 135
	NeighborAdvert  = icmpv6NeighborAdvert
)

const (
	ndOptionSourceLink = 1
	ndMessage          = 24 // header, flags or reserved, target
)

// SolicitedNode returns the multicast address to which neighbour solicitations for an address are sent.
func SolicitedNode(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 11: 0x01, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

// AppendNS appends a neighbour solicitation for an IPv6 address, with the sender's link-layer address. The
// checksum is zero: a raw ICMPv6 socket fills it in.
func AppendNS(b []byte, target netip.Addr, mac [6]byte) []byte {
	t := target.As16()
	b = append(b, NeighborSolicit, 0, 0, 0, 0, 0, 0, 0)
	b = append(b, t[:]...)
	b = append(b, ndOptionSourceLink, 1)
	return append(b, mac[:]...)
}

// ParseNA parses an ICMPv6 message and returns target and link-layer address of a neighbour advertisement.
// It returns false for other messages and for one without a link-layer address. The kernel has checked
// the checksum.
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
