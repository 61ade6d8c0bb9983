// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

const (
	etherTypeIPv4 = 0x0800
	etherTypeARP  = 0x0806
	etherTypeIPv6 = 0x86dd

	etherSize = 14
	ipv4Size  = 20
	ipv6Size  = 40

	dontFragment    = 0x4000
	moreOrOffset    = 0x3fff // MF and the fragment offset
	maxDSCP         = 63
	maxIPv4Payload  = 0xffff - ipv4Size
	ipv6VersionWord = 6 << 28
)

// envelope holds the Ethernet and IP header of a payload of protocol 112.
type envelope struct {
	srcMAC, dstMAC [6]byte
	src, dst       netip.Addr
	dscp, ttl      uint8
	id             uint16
}

func appendEther(b []byte, dst, src [6]byte, etherType uint16) []byte {
	b = append(b, dst[:]...)
	b = append(b, src[:]...)
	return binary.BigEndian.AppendUint16(b, etherType)
}

// append appends an Ethernet and an IP header for a payload of the given size. IPv4 has DF set and no
// options; IPv6 has flow label 0 and no extension headers.
func (e envelope) append(b []byte, payload int) ([]byte, error) {
	src, dst := e.src.Unmap(), e.dst.Unmap()
	switch {
	case !src.IsValid() || !dst.IsValid() || src.Is4() != dst.Is4():
		return b, fmt.Errorf("build frame from %v to %v: %w", e.src, e.dst, ErrFamily)
	case e.dscp > maxDSCP:
		return b, fmt.Errorf("build frame with dscp %d: %w, 0..63", e.dscp, ErrRange)
	case payload > maxIPv4Payload:
		return b, fmt.Errorf("build frame with %d payload bytes: %w", payload, ErrRange)
	case src.Is4():
		b = appendEther(b, e.dstMAC, e.srcMAC, etherTypeIPv4)
		return e.appendIPv4(b, src.As4(), dst.As4(), payload), nil
	default:
		b = appendEther(b, e.dstMAC, e.srcMAC, etherTypeIPv6)
		return e.appendIPv6(b, src.As16(), dst.As16(), payload), nil
	}
}

func (e envelope) appendIPv4(b []byte, src, dst [4]byte, payload int) []byte {
	start := len(b)
	b = append(b, 0x45, e.dscp<<2)
	b = binary.BigEndian.AppendUint16(b, uint16(ipv4Size+payload))
	b = binary.BigEndian.AppendUint16(b, e.id)
	b = binary.BigEndian.AppendUint16(b, dontFragment)
	b = append(b, e.ttl, protocolCARP, 0, 0)
	b = append(b, src[:]...)
	b = append(b, dst[:]...)
	binary.BigEndian.PutUint16(b[start+10:], Checksum(b[start:]))
	return b
}

func (e envelope) appendIPv6(b []byte, src, dst [16]byte, payload int) []byte {
	b = binary.BigEndian.AppendUint32(b, ipv6VersionWord|uint32(e.dscp)<<22)
	b = binary.BigEndian.AppendUint16(b, uint16(payload))
	b = append(b, protocolCARP, e.ttl)
	b = append(b, src[:]...)
	return append(b, dst[:]...)
}

// parseEnvelope returns the headers and the IP payload of an untagged frame, without Ethernet padding.
func parseEnvelope(b []byte) (envelope, []byte, error) {
	if len(b) < etherSize {
		return envelope{}, nil, fmt.Errorf("parse ethernet frame of %d bytes: %w", len(b), ErrShort)
	}
	var e envelope
	copy(e.dstMAC[:], b)
	copy(e.srcMAC[:], b[6:])
	switch t := binary.BigEndian.Uint16(b[12:]); t {
	case etherTypeIPv4:
		return e.parseIPv4(b[etherSize:])
	case etherTypeIPv6:
		return e.parseIPv6(b[etherSize:])
	default:
		return envelope{}, nil, fmt.Errorf("parse ethernet frame of type %#04x: %w", t, ErrProtocol)
	}
}

func (e envelope) parseIPv4(b []byte) (envelope, []byte, error) {
	if len(b) < ipv4Size {
		return envelope{}, nil, fmt.Errorf("parse ipv4 packet of %d bytes: %w", len(b), ErrShort)
	}
	if v := b[0] >> 4; v != 4 {
		return envelope{}, nil, fmt.Errorf("parse ipv4 packet of version %d: %w", v, ErrVersion)
	}
	header, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < ipv4Size || total < header || total > len(b) {
		return envelope{}, nil, fmt.Errorf("parse ipv4 packet of %d bytes, header %d, total %d: %w",
			len(b), header, total, ErrLength)
	}
	if Checksum(b[:header]) != 0 {
		return envelope{}, nil, fmt.Errorf("parse ipv4 header: %w", ErrChecksum)
	}
	if b[9] != protocolCARP {
		return envelope{}, nil, fmt.Errorf("parse ipv4 packet of protocol %d: %w", b[9], ErrProtocol)
	}
	if binary.BigEndian.Uint16(b[6:])&moreOrOffset != 0 {
		return envelope{}, nil, fmt.Errorf("parse ipv4 fragment: %w", ErrProtocol)
	}
	e.dscp, e.ttl, e.id = b[1]>>2, b[8], binary.BigEndian.Uint16(b[4:])
	e.src = netip.AddrFrom4([4]byte(b[12:16]))
	e.dst = netip.AddrFrom4([4]byte(b[16:20]))
	return e, b[header:total], nil
}

func (e envelope) parseIPv6(b []byte) (envelope, []byte, error) {
	if len(b) < ipv6Size {
		return envelope{}, nil, fmt.Errorf("parse ipv6 packet of %d bytes: %w", len(b), ErrShort)
	}
	if v := b[0] >> 4; v != 6 {
		return envelope{}, nil, fmt.Errorf("parse ipv6 packet of version %d: %w", v, ErrVersion)
	}
	payload := int(binary.BigEndian.Uint16(b[4:]))
	if payload > len(b)-ipv6Size {
		return envelope{}, nil, fmt.Errorf("parse ipv6 packet of %d bytes, payload %d: %w", len(b), payload, ErrLength)
	}
	if b[6] != protocolCARP {
		return envelope{}, nil, fmt.Errorf("parse ipv6 packet of next header %d: %w", b[6], ErrProtocol)
	}
	e.dscp, e.ttl = uint8(binary.BigEndian.Uint16(b)>>6)&maxDSCP, b[7]
	e.src = netip.AddrFrom16([16]byte(b[8:24]))
	e.dst = netip.AddrFrom16([16]byte(b[24:40]))
	return e, b[ipv6Size : ipv6Size+payload], nil
}

// Checksum returns the Internet checksum (RFC 1071) of b: the value for a checksum field that is zero in b,
// or zero if b contains a correct one. An odd last byte is padded with a zero.
func Checksum(b []byte) uint16 {
	return ^fold(sum(0, b))
}

func sum(s uint64, b []byte) uint64 {
	for len(b) >= 2 {
		s += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint64(b[0]) << 8
	}
	return s
}

func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
