// SPDX-License-Identifier: Apache-2.0

package model

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"vipd/loader/tables"
)

// Sealed counters, built here and not by the code under test.

// sealKey is what a vipd node derives from goldenKey.
func sealKey() tables.SealKey {
	return tables.SealKey{
		Recognise: [16]byte(mustHex("81dae3ab68f7b725b936af00ba8c48cd")),
		Bind:      [16]byte(mustHex("1eec79335be883f302f8178d84f25bf2")),
	}
}

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

// sealed returns the counter of a vipd node.
func sealed(k tables.SealKey, seq uint32, src netip.Addr, p tables.Priority) uint64 {
	b := binary.BigEndian.AppendUint32(nil, seq)
	a := src.As16()
	bound := append(append([]byte(nil), b...), p.AdvBase, p.AdvSkew, p.Demote, 0)
	bound = append(bound, a[:]...)
	return uint64(seq)<<32 | uint64(uint16(sipHash(k.Bind, bound)))<<16 | uint64(uint16(sipHash(k.Recognise, b)))
}

// isSealed reports what the twin finds in a counter.
func isSealed(k tables.SealKey, counter uint64, src netip.Addr, p tables.Priority) (recognised, bound bool) {
	s := sealed(k, uint32(counter>>32), src, p)
	return uint16(s) == uint16(counter), uint16(s>>16) == uint16(counter>>16)
}

// sealedAdvert returns an advert of the golden group from a vipd node at src.
func sealedAdvert(seq uint32, src netip.Addr, p tables.Priority) carp {
	return Advert(p.AdvBase, p.AdvSkew, p.Demote, sealed(sealKey(), seq, src, p))
}

func sealedSpec(vips ...string) tables.GroupSpec {
	s := GoldenSpec(vips...)
	s.Contexts[0].SealKey = sealKey()
	return s
}
