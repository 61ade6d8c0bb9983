// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"encoding/binary"
	"net/netip"

	"vipd/agent/wire"
)

const (
	etherIPv4, etherIPv6   = 0x0800, 0x86dd
	etherVLAN, etherQinQ   = 0x8100, 0x88a8
	protocolCARP           = 112
	etherSize, vlanSize    = 14, 4
	ipv4Size, ipv6Size     = 20, 40
	maxTags                = 2
	offTTL4, offHopLimit6  = 8, 7
	offProtocol4, offNext6 = 9, 6
)

// FromFrame returns the sender of a frame of IP protocol 112 and its payload, which may be
// truncated. ok is false for any other frame. The caller sets At and Reason.
func FromFrame(frame []byte) (r Reject, ok bool) {
	if len(frame) < etherSize {
		return Reject{}, false
	}
	r.SrcMAC = [6]byte(frame[6:12])
	kind, b := binary.BigEndian.Uint16(frame[12:]), frame[etherSize:]
	for range maxTags {
		if (kind == etherVLAN || kind == etherQinQ) && len(b) >= vlanSize {
			kind, b = binary.BigEndian.Uint16(b[2:]), b[vlanSize:]
		}
	}
	switch {
	case kind == etherIPv4 && len(b) >= ipv4Size && b[offProtocol4] == protocolCARP:
		header := int(b[0]&15) * 4
		if header < ipv4Size || header > len(b) {
			return Reject{}, false
		}
		r.Src, r.TTL, r.Payload = netip.AddrFrom4([4]byte(b[12:16])), b[offTTL4], b[header:]
	case kind == etherIPv6 && len(b) >= ipv6Size && b[offNext6] == protocolCARP:
		r.Src, r.TTL, r.Payload = netip.AddrFrom16([16]byte(b[8:24])), b[offHopLimit6], b[ipv6Size:]
	default:
		return Reject{}, false
	}
	return r, true
}

// offTarget6 is the offset of the target address in an untagged neighbour solicitation.
const offTarget6 = etherSize + ipv6Size + 8

// AskFromFrame returns which host asks for which address in an ARP request or a neighbour
// solicitation. The caller sets At.
func AskFromFrame(frame []byte) (a Ask, ok bool) {
	if arp, err := wire.ParseARP(frame); err == nil {
		return Ask{MAC: arp.SrcMAC, From: arp.SenderIP, Address: arp.TargetIP}, arp.Op == wire.ARPRequest
	}
	if len(frame) < offTarget6+16 || binary.BigEndian.Uint16(frame[12:]) != etherIPv6 ||
		frame[etherSize+ipv6Size] != wire.NeighborSolicit {
		return Ask{}, false
	}
	return Ask{MAC: [6]byte(frame[6:12]), Address: netip.AddrFrom16([16]byte(frame[offTarget6 : offTarget6+16]))}, true
}

// FlowFromFrame returns source and destination of an untagged IP packet as "A to B".
func FlowFromFrame(frame []byte) (flow string, ok bool) {
	if len(frame) < etherSize {
		return "", false
	}
	kind, b := binary.BigEndian.Uint16(frame[12:]), frame[etherSize:]
	var src, dst netip.Addr
	switch {
	case kind == etherIPv4 && len(b) >= ipv4Size:
		src, dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	case kind == etherIPv6 && len(b) >= ipv6Size:
		src, dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	default:
		return "", false
	}
	return src.String() + " to " + dst.String(), true
}

// hasTrailer reports whether a vipd node sent the advert, or somebody who says so.
func (r *Reject) hasTrailer() bool {
	_, ok := wire.ParseTrailer(r.Payload)
	return ok
}

func (r *Reject) isHello() bool { return wire.IsHello(r.Payload) }

// VHID returns the VHID of a refused advert, or the VRID of a VRRP advert; 0 if the frame is truncated.
func (r Reject) VHID() uint8 {
	if len(r.Payload) < 2 {
		return 0
	}
	return r.Payload[1]
}
