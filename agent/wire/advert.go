// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"fmt"
)

// Sizes and constants of a CARP advertisement (FreeBSD sys/netinet/ip_carp.h).
const (
	// AdvertSize is the length of a CARP advertisement in bytes; it has no trailer.
	AdvertSize = 36
	// AuthLen is what a sender puts into Advert.AuthLen: counter and digest in 32-bit
	// words. No receiver checks it.
	AuthLen = 7
	// GoodbyeValue in both AdvBase and AdvSkew is the bow-out of OpenBSD and NetBSD.
	GoodbyeValue = 255
)

const (
	carpVersion  = 2
	carpType     = 1
	carpFirst    = carpVersion<<4 | carpType
	protocolCARP = 112 // shared with VRRP
	minCARP      = 8   // below this not even the version is looked at, as FreeBSD
)

// Advert is the payload of a CARP advertisement.
type Advert struct {
	VHID    uint8
	AdvSkew uint8 // 1/256 s
	Demote  uint8 // OpenBSD's demotion count; FreeBSD, NetBSD and ucarp send 0 and ignore it
	AdvBase uint8 // seconds
	AuthLen uint8 // the constant AuthLen from every known sender
	Counter uint64
	Digest  [20]byte
}

// ParseAdvert reads the payload of an IP packet of protocol 112. The type nibble,
// AuthLen and bytes after the 36th are not looked at, as no BSD does. The digest is
// not verified here: see Key.Digest.
//
// Errors: ErrShort, ErrVersion, ErrChecksum, in the order in which the data plane
// counts them.
func ParseAdvert(b []byte) (Advert, error) {
	if len(b) < minCARP {
		return Advert{}, fmt.Errorf("parse carp advert of %d bytes: %w", len(b), ErrShort)
	}
	if v := b[0] >> 4; v != carpVersion {
		return Advert{}, fmt.Errorf("parse carp advert of version %d: %w", v, ErrVersion)
	}
	if len(b) < AdvertSize {
		return Advert{}, fmt.Errorf("parse carp advert of %d bytes: %w", len(b), ErrShort)
	}
	b = b[:AdvertSize]
	if Checksum(b) != 0 {
		return Advert{}, fmt.Errorf("parse carp advert of vhid %d: %w", b[1], ErrChecksum)
	}
	a := Advert{
		VHID: b[1], AdvSkew: b[2], AuthLen: b[3], Demote: b[4], AdvBase: b[5],
		Counter: binary.BigEndian.Uint64(b[8:16]),
	}
	copy(a.Digest[:], b[16:])
	return a, nil
}

// AppendBinary appends the 36 bytes of a to b and fills in the checksum. It never fails;
// the error is there for encoding.BinaryAppender.
func (a Advert) AppendBinary(b []byte) ([]byte, error) {
	start := len(b)
	b = append(b, carpFirst, a.VHID, a.AdvSkew, a.AuthLen, a.Demote, a.AdvBase, 0, 0)
	b = binary.BigEndian.AppendUint64(b, a.Counter)
	b = append(b, a.Digest[:]...)
	binary.BigEndian.PutUint16(b[start+6:], Checksum(b[start:]))
	return b, nil
}
