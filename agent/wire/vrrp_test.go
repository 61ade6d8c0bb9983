// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

const (
	vrrp2Version  = 2
	vrrp3Version  = 3
	vrrp3First    = vrrp3Version<<4 | 1
	vrrpHeader    = 8
	vrrp2Overhead = 16 // header and the 8 bytes of authentication data behind the addresses

	maxVRRPInterval  = 0xfff // 12 bits
	maxVRRPAddresses = 255
)

// IsVRRP reports whether a payload of protocol 112, without padding, is a well-formed VRRP advertisement
// rather than CARP: version 3 with the length for its address count and a correct checksum over the pseudo
// header, or, over IPv4, version 2 with 16 + 4*count bytes and a correct checksum. A CARP advertisement has
// authlen 7 in place of the count, and 36 bytes where 7 addresses need 44.
//
// It is the Go twin of the classifier in the XDP program.
func IsVRRP(src, dst netip.Addr, payload []byte) bool {
	if len(payload) < vrrpHeader {
		return false
	}
	src, dst = src.Unmap(), dst.Unmap()
	count := int(payload[3])
	switch payload[0] >> 4 {
	case vrrp3Version:
		want := vrrpHeader + count*src.BitLen()/8
		return len(payload) == want && pseudoChecksum(src, dst, payload) == 0
	case vrrp2Version:
		return src.Is4() && len(payload) == vrrp2Overhead+4*count && Checksum(payload) == 0
	default:
		return false
	}
}

// VRRP is a VRRPv3 advertisement as sent by FreeBSD with carpver 3 and by keepalived.
type VRRP struct {
	VRID     uint8
	Priority uint8        // higher is better; 0 = the master resigns
	Interval uint16       // centiseconds, 0..4095
	Addrs    []netip.Addr // all of the packet's family, at most 255
}

// AppendPayload appends the message with its checksum, which covers src and dst. Errors: ErrFamily, ErrRange.
func (v VRRP) AppendPayload(b []byte, src, dst netip.Addr) ([]byte, error) {
	src, dst = src.Unmap(), dst.Unmap()
	if v.Interval > maxVRRPInterval || len(v.Addrs) > maxVRRPAddresses {
		return b, fmt.Errorf("build vrrp advert with interval %d and %d addresses: %w", v.Interval, len(v.Addrs), ErrRange)
	}
	for _, a := range append([]netip.Addr{dst}, v.Addrs...) {
		if !a.IsValid() || a.Unmap().Is4() != src.Is4() {
			return b, fmt.Errorf("build vrrp advert from %v with address %v: %w", src, a, ErrFamily)
		}
	}
	start := len(b)
	b = append(b, vrrp3First, v.VRID, v.Priority, uint8(len(v.Addrs)))
	b = binary.BigEndian.AppendUint16(b, v.Interval)
	b = append(b, 0, 0)
	for _, a := range v.Addrs {
		b = append(b, a.Unmap().AsSlice()...)
	}
	binary.BigEndian.PutUint16(b[start+6:], pseudoChecksum(src, dst, b[start:]))
	return b, nil
}

// AppendFrame appends a frame like FreeBSD's: to the multicast group of src's family, with the virtual MAC as
// source, TTL 255 and DSCP 56.
func (v VRRP) AppendFrame(b []byte, src netip.Addr) ([]byte, error) {
	src = src.Unmap()
	dst := MulticastV4
	if src.Is6() {
		dst = MulticastV6
	}
	payload, err := v.AppendPayload(nil, src, dst)
	if err != nil {
		return b, err
	}
	e := envelope{srcMAC: VirtualMAC(v.VRID), dstMAC: MulticastMAC(dst), src: src, dst: dst, dscp: 56, ttl: 255}
	b, err = e.append(b, len(payload))
	if err != nil {
		return b, err
	}
	return append(b, payload...), nil
}

// ParseVRRP parses the payload of an IP packet from src to dst. Errors: ErrShort, ErrVersion, ErrLength,
// ErrChecksum.
func ParseVRRP(src, dst netip.Addr, b []byte) (VRRP, error) {
	src, dst = src.Unmap(), dst.Unmap()
	if len(b) < vrrpHeader {
		return VRRP{}, fmt.Errorf("parse vrrp advert of %d bytes: %w", len(b), ErrShort)
	}
	if ver := b[0] >> 4; ver != vrrp3Version {
		return VRRP{}, fmt.Errorf("parse vrrp advert of version %d: %w", ver, ErrVersion)
	}
	size := src.BitLen() / 8
	if want := vrrpHeader + int(b[3])*size; len(b) != want {
		return VRRP{}, fmt.Errorf("parse vrrp advert of %d bytes for %d addresses: %w", len(b), b[3], ErrLength)
	}
	if pseudoChecksum(src, dst, b) != 0 {
		return VRRP{}, fmt.Errorf("parse vrrp advert of router %d: %w", b[1], ErrChecksum)
	}
	v := VRRP{VRID: b[1], Priority: b[2], Interval: binary.BigEndian.Uint16(b[4:]) & maxVRRPInterval}
	for rest := b[vrrpHeader:]; len(rest) > 0 && size > 0; rest = rest[size:] {
		a, _ := netip.AddrFromSlice(rest[:size]) // 4 or 16 bytes by construction
		v.Addrs = append(v.Addrs, a)
	}
	return v, nil
}

// pseudoChecksum returns the checksum of b with the pseudo header of src, dst and protocol 112. VRRPv3 uses
// it, CARP does not.
func pseudoChecksum(src, dst netip.Addr, b []byte) uint16 {
	s := sum(0, src.AsSlice())
	s = sum(s, dst.AsSlice())
	// The pseudo headers of IPv4 and IPv6 differ in layout but have the same sum.
	s += protocolCARP
	s += uint64(len(b))
	return ^fold(sum(s, b))
}
