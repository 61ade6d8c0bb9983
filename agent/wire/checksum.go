// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"net/netip"
)

// Checksum is the Internet checksum (RFC 1071) of b: the value to store in a checksum
// field that is zero in b, and zero when b holds a right one already. An odd last byte
// counts as if a zero followed it.
func Checksum(b []byte) uint16 {
	return ^fold(sum(0, b))
}

// pseudoChecksum is Checksum over the pseudo header of src, dst and protocol 112,
// followed by b. VRRPv3 has it, CARP has not.
func pseudoChecksum(src, dst netip.Addr, b []byte) uint16 {
	s := sum(0, src.AsSlice())
	s = sum(s, dst.AsSlice())
	// The IPv4 and IPv6 pseudo headers differ in layout only, not in what they add up to.
	s += protocolCARP
	s += uint64(len(b))
	return ^fold(sum(s, b))
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
