// SPDX-License-Identifier: Apache-2.0

package model

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"vipd/loader/tables"
)

// Trailers, built here and not by the code under test.

// trailerKey is what a vipd node derives from goldenKey.
func trailerKey() [16]byte { return [16]byte(mustHex("6bc48db0b8e203aa9a3a771d748c3672")) }

func sipHash(key [16]byte, msg []byte) uint64 {
	k0, k1 := binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:])
	v := [4]uint64{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573}
	rounds := func(n int) {
		for range n {
			v[0], v[2] = v[0]+v[1], v[2]+v[3]
			v[1], v[3] = bits.RotateLeft64(v[1], 13)^v[0], bits.RotateLeft64(v[3], 16)^v[2]
			v[0], v[2] = bits.RotateLeft64(v[0], 32)+v[3], v[2]+v[1]
			v[1], v[3] = bits.RotateLeft64(v[1], 17)^v[2], bits.RotateLeft64(v[3], 21)^v[0]
			v[2] = bits.RotateLeft64(v[2], 32)
		}
	}
	padded := append(append([]byte(nil), msg...), make([]byte, 8-len(msg)%8)...)
	padded[len(padded)-1] = byte(len(msg))
	for ; len(padded) > 0; padded = padded[8:] {
		m := binary.LittleEndian.Uint64(padded)
		v[3] ^= m
		rounds(2)
		v[0] ^= m
	}
	v[2] ^= 0xff
	rounds(4)
	return v[0] ^ v[1] ^ v[2] ^ v[3]
}

// tagOf returns the tag of an advert: of its 36 bytes, its source, and what the trailer says besides.
func tagOf(key [16]byte, src netip.Addr, p []byte, beat, flags uint16) []byte {
	from := src.As16()
	m := binary.BigEndian.AppendUint16([]byte{'V', 1}, beat)
	m = append(m, p[1], p[5], p[2], p[4])
	m = append(m, from[:]...)
	m = append(m, p[8:36]...)
	m = binary.BigEndian.AppendUint16(m, flags)
	return binary.LittleEndian.AppendUint64(nil, sipHash(key, append(m, 0, 0)))
}

// trailerFor returns the trailer of an advert from src.
func trailerFor(key [16]byte, src netip.Addr, c carp, beat uint16) []byte {
	c.trailer = nil
	b := binary.BigEndian.AppendUint16([]byte{'V', 1}, beat)
	b = append(b, 0, 0, 0, 0)
	b = append(b, tagOf(key, src, c.bytes(), beat, 0)...)
	b = append(b, 0, 0)
	return binary.BigEndian.AppendUint16(b, sum16(b))
}

// provenBy returns the advert with a trailer for src.
func (c carp) provenBy(key [16]byte, src netip.Addr) carp {
	c.trailer = trailerFor(key, src, c, 0)
	return c
}

// provenAdvert returns an advert of the golden group from a vipd node at src.
func provenAdvert(number uint64, src netip.Addr, p tables.Priority) carp {
	return Advert(p.AdvBase, p.AdvSkew, p.Demote, number).provenBy(trailerKey(), src)
}

// ProvenSpec is the golden group of vipd nodes.
func ProvenSpec(vips ...string) tables.GroupSpec {
	s := GoldenSpec(vips...)
	s.Contexts[0].TrailerKey = trailerKey()
	return s
}
