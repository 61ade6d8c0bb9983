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

// AllNodes is ff02::1, where unsolicited neighbour advertisements go.
var AllNodes = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 1})

// UnsolicitedNA is the frame that tells the segment where an IPv6 VIP lives now (RFC
// 4861, 7.2.6): Ethernet source and target link-layer address are the virtual MAC,
// Override is set, Solicited is not; router says whether this host forwards, because
// neighbours drop a router from their lists when it stops saying so. It is nil if the
// VIP is not IPv6.
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
