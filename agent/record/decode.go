// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"vipd/agent/wire"
)

const protocolCARP = 112

// frame has what can be decoded of a frame that may be truncated, damaged or forged.
type frame struct {
	srcMAC, dstMAC net.HardwareAddr
	vlans          []uint16
	src, dst       netip.Addr // invalid if there is no IP header
	ttl            uint8
	carp           *carp
	arp            *neighbour
	nd             *neighbour
}

// carp is the content of an advert, not verified.
type carp struct {
	version uint8 // 2, or that of VRRP
	vhid    uint8
	// whole is true if there are 36 bytes; otherwise the following fields are not set.
	whole                     bool
	advBase, advSkew, demote  uint8
	counter                   uint64
	checksumRight, isGoodbye  bool
	addressesOfVRRP, priority uint8 // of a VRRP advert
	trailer                   *wire.Trailer
}

// neighbour is an ARP packet or a neighbour discovery message.
type neighbour struct {
	op        string // request, reply; solicitation, advertisement, other
	senderMAC net.HardwareAddr
	targetMAC net.HardwareAddr
	sender    netip.Addr
	target    netip.Addr
}

func decode(data []byte) frame {
	var f frame
	var eth layers.Ethernet
	if eth.DecodeFromBytes(data, gopacket.NilDecodeFeedback) != nil {
		return f
	}
	f.srcMAC, f.dstMAC = eth.SrcMAC, eth.DstMAC
	typ, rest := eth.EthernetType, eth.Payload
	for range 2 {
		if typ != layers.EthernetTypeDot1Q && typ != layers.EthernetTypeQinQ {
			break
		}
		var tag layers.Dot1Q
		if tag.DecodeFromBytes(rest, gopacket.NilDecodeFeedback) != nil {
			return f
		}
		f.vlans = append(f.vlans, tag.VLANIdentifier)
		typ, rest = tag.Type, tag.Payload
	}
	switch uint16(typ) {
	case uint16(layers.EthernetTypeARP):
		f.arp = decodeARP(rest)
	case uint16(layers.EthernetTypeIPv4):
		f.decode4(rest)
	case uint16(layers.EthernetTypeIPv6):
		f.decode6(rest)
	}
	return f
}

func decodeARP(b []byte) *neighbour {
	var a layers.ARP
	if a.DecodeFromBytes(b, gopacket.NilDecodeFeedback) != nil || a.HwAddressSize != 6 || a.ProtAddressSize != 4 {
		return nil
	}
	n := &neighbour{op: "other", senderMAC: a.SourceHwAddress, targetMAC: a.DstHwAddress}
	switch a.Operation {
	case layers.ARPRequest:
		n.op = "request"
	case layers.ARPReply:
		n.op = "reply"
	}
	n.sender, _ = netip.AddrFromSlice(a.SourceProtAddress)
	n.target, _ = netip.AddrFromSlice(a.DstProtAddress)
	return n
}

func (f *frame) decode4(b []byte) {
	var ip layers.IPv4
	if ip.DecodeFromBytes(b, gopacket.NilDecodeFeedback) != nil {
		return
	}
	f.src, _ = netip.AddrFromSlice(ip.SrcIP)
	f.dst, _ = netip.AddrFromSlice(ip.DstIP)
	f.ttl = ip.TTL
	if ip.Protocol == protocolCARP {
		f.carp = decodeCARP(ip.Payload)
	}
}

func (f *frame) decode6(b []byte) {
	var ip layers.IPv6
	if ip.DecodeFromBytes(b, gopacket.NilDecodeFeedback) != nil {
		return
	}
	f.src, _ = netip.AddrFromSlice(ip.SrcIP)
	f.dst, _ = netip.AddrFromSlice(ip.DstIP)
	f.ttl = ip.HopLimit
	switch uint8(ip.NextHeader) {
	case protocolCARP:
		f.carp = decodeCARP(ip.Payload)
	case uint8(layers.IPProtocolICMPv6):
		f.nd = f.decodeND(ip.Payload)
	}
}

// decodeCARP decodes what there is, whether or not it is acceptable. VRRP has the same protocol number
// and the same first fields.
func decodeCARP(b []byte) *carp {
	if len(b) < 8 {
		return nil
	}
	c := &carp{version: b[0] >> 4, vhid: b[1], priority: b[2], addressesOfVRRP: b[3]}
	if len(b) < wire.AdvertSize {
		return c
	}
	c.whole = true
	c.advSkew, c.demote, c.advBase = b[2], b[4], b[5]
	c.counter = binary.BigEndian.Uint64(b[8:])
	c.checksumRight = wire.Checksum(b[:wire.AdvertSize]) == 0
	if t, ok := wire.ParseTrailer(b); ok {
		c.trailer = new(wire.Trailer) // only then
		*c.trailer = t
	}
	c.isGoodbye = c.advBase == wire.GoodbyeValue && c.advSkew == wire.GoodbyeValue
	return c
}

func (f *frame) decodeND(b []byte) *neighbour {
	const solicit, advert, headers = 135, 136, 24
	const optSource, optTarget = 1, 2
	if len(b) < headers || b[0] != solicit && b[0] != advert {
		return nil
	}
	n := &neighbour{op: "solicitation", sender: f.src, senderMAC: f.srcMAC}
	want := byte(optSource)
	if b[0] == advert {
		n.op, want = "advertisement", optTarget
	}
	n.target, _ = netip.AddrFromSlice(b[8:headers])
	for o := b[headers:]; len(o) >= 8; {
		size := int(o[1]) * 8
		if size == 0 || size > len(o) {
			break
		}
		if o[0] == want {
			n.senderMAC = net.HardwareAddr(o[2:8])
		}
		o = o[size:]
	}
	return n
}
