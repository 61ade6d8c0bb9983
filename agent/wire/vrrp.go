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

// IsVRRP reports whether payload (of protocol 112, from src to dst, cut to the IP
// length) is a well-formed VRRP advertisement rather than CARP: version 3 with the
// length of its address count and a right checksum over the pseudo header, or, over
// IPv4, version 2 of 16 + 4*count bytes with a right checksum. A CARP advertisement
// has an authlen of 7 where VRRP has the count, and 36 bytes where 7 addresses need 44.
//
// It is the twin of the classifier in the XDP program, kept for tests.
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

// VRRP is a VRRPv3 advertisement as FreeBSD's carpver 3 and keepalived send it.
type VRRP struct {
	VRID     uint8
	Priority uint8        // higher is better; 0 = the master resigns
	Interval uint16       // centiseconds, 0..4095
	Addrs    []netip.Addr // all of the packet's family, at most 255
}

// AppendPayload appends the message as it travels from src to dst, which its checksum
// covers. Errors: ErrFamily, ErrRange.
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

// AppendFrame appends a whole frame as FreeBSD sends it: to the CARP group of src's
// family, virtual MAC as source for both families, TTL 255, DSCP 56.
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

// ParseVRRP reads the payload of an IP packet from src to dst. Errors: ErrShort,
// ErrVersion, ErrLength, ErrChecksum.
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
