// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Sizes and constants of a CARP advertisement (FreeBSD sys/netinet/ip_carp.h).
const (
	// AdvertSize is the length of a CARP advertisement in bytes.
	AdvertSize = 36
	// AuthLen is the value of Advert.AuthLen: the length of counter and digest in 32-bit words. No
	// receiver checks it.
	AuthLen = 7
	// GoodbyeValue in both AdvBase and AdvSkew is the goodbye of OpenBSD and NetBSD.
	GoodbyeValue = 255
)

const (
	carpVersion  = 2
	carpType     = 1
	carpFirst    = carpVersion<<4 | carpType
	protocolCARP = 112 // shared with VRRP
	minCARP      = 8   // FreeBSD does not check the version of a shorter packet
)

// Advert is the payload of a CARP advertisement.
type Advert struct {
	VHID    uint8
	AdvSkew uint8 // 1/256 s
	Demote  uint8 // OpenBSD's demotion count; FreeBSD, NetBSD and ucarp send 0 and ignore it
	AdvBase uint8 // seconds
	AuthLen uint8 // always the constant AuthLen from known senders
	Counter uint64
	Digest  [20]byte
}

// ParseAdvert parses the payload of an IP packet of protocol 112. Like the BSDs it ignores the type nibble,
// AuthLen and bytes after the 36th. It does not verify the digest, see Key.Digest.
//
// Errors: ErrShort, ErrVersion, ErrChecksum, checked in the data plane's order.
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

// AppendBinary appends the 36 bytes of a to b with the checksum. The error is always nil, as
// encoding.BinaryAppender requires one.
func (a Advert) AppendBinary(b []byte) ([]byte, error) {
	start := len(b)
	b = append(b, carpFirst, a.VHID, a.AdvSkew, a.AuthLen, a.Demote, a.AdvBase, 0, 0)
	b = binary.BigEndian.AppendUint64(b, a.Counter)
	b = append(b, a.Digest[:]...)
	binary.BigEndian.PutUint16(b[start+6:], Checksum(b[start:]))
	return b, nil
}

// AdvertFrame is a whole Ethernet frame with a CARP advertisement over IPv4 or IPv6.
type AdvertFrame struct {
	SrcMAC, DstMAC [6]byte
	Src, Dst       netip.Addr // of one family
	DSCP           uint8      // 0..63; the ECN bits are sent as 0 and ignored
	TTL            uint8      // IPv6: the hop limit
	ID             uint16     // IPv4 only
	Advert         Advert
	Trailer        *Trailer // nil: an ordinary advertisement
}

// AppendBinary appends the frame to b: 70 bytes over IPv4 (DF set, no options), 90 over IPv6 (flow label 0), 20 more
// with a trailer. Errors: ErrFamily, ErrRange.
func (f AdvertFrame) AppendBinary(b []byte) ([]byte, error) {
	e := envelope{
		srcMAC: f.SrcMAC, dstMAC: f.DstMAC, src: f.Src, dst: f.Dst,
		dscp: f.DSCP, ttl: f.TTL, id: f.ID,
	}
	size := AdvertSize
	if f.Trailer != nil {
		size += TrailerSize
	}
	b, err := e.append(b, size)
	if err != nil {
		return b, err
	}
	if b, err = f.Advert.AppendBinary(b); err != nil || f.Trailer == nil {
		return b, err
	}
	return f.Trailer.AppendBinary(b)
}

// ParseAdvertFrame parses an untagged frame. IPv4 options and Ethernet padding are accepted, fragments are
// not. The caller checks TTL, destination and digest, which depend on the group.
func ParseAdvertFrame(b []byte) (AdvertFrame, error) {
	e, payload, err := parseEnvelope(b)
	if err != nil {
		return AdvertFrame{}, err
	}
	a, err := ParseAdvert(payload)
	if err != nil {
		return AdvertFrame{}, err
	}
	f := AdvertFrame{
		SrcMAC: e.srcMAC, DstMAC: e.dstMAC, Src: e.src, Dst: e.dst,
		DSCP: e.dscp, TTL: e.ttl, ID: e.id, Advert: a,
	}
	if t, ok := ParseTrailer(payload); ok {
		f.Trailer = &t
	}
	return f, nil
}
