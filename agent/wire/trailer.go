// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // CARP's own hash; here only a key derivation
	"encoding/binary"
	"fmt"
	"net/netip"
)

// CARP's digest covers VHID, addresses and counter, but neither priority nor source, so that a replayed counter and
// digest can carry any priority. vipd appends a trailer to its advertisements that binds all of them. Every other
// implementation ignores it, since it follows the 36 bytes of CARP and its Internet checksum is zero. See
// docs/authentication.md.

const (
	// TrailerSize is the length of a trailer in bytes.
	TrailerSize = 20
	// MaxBeat is the longest beat that a trailer can state, in microseconds.
	MaxBeat = 32767

	trailerKind    = 'V'
	trailerVersion = 1
	trailerFirst   = trailerKind<<8 | trailerVersion

	// Offsets in a trailer.
	trailerBeat    = 2
	trailerFlags   = 4
	trailerTag     = 8
	trailerBalance = 18

	trailerMessage = 56
)

// TrailerKey is the key of the tags, derived from the CARP key.
type TrailerKey [16]byte

// TrailerKey derives the key of the tags from k.
func (k Key) TrailerKey() TrailerKey {
	h := hmac.New(sha1.New, k.pass[:])
	h.Write([]byte("vipd trailer"))
	return TrailerKey(h.Sum(nil)[:16])
}

// Format prints a placeholder for every verb, as for the Key.
func (k TrailerKey) Format(s fmt.State, verb rune) { Key{}.Format(s, verb) }

// Trailer is what follows a CARP advertisement of a vipd node.
type Trailer struct {
	Beat  uint16 // microseconds; 0: none
	Flags uint16 // 0 in version 1
	Tag   uint64
}

// ParseTrailer returns the trailer of the payload of an IP packet of protocol 112. Without one it returns false: the
// packet is an ordinary advertisement. It does not check the tag, see [TrailerKey.Tag], nor the checksum.
func ParseTrailer(payload []byte) (Trailer, bool) {
	if len(payload) != AdvertSize+TrailerSize {
		return Trailer{}, false
	}
	b := payload[AdvertSize:]
	if binary.BigEndian.Uint16(b) != trailerFirst {
		return Trailer{}, false
	}
	return Trailer{
		Beat:  binary.BigEndian.Uint16(b[trailerBeat:]),
		Flags: binary.BigEndian.Uint16(b[trailerFlags:]),
		Tag:   binary.LittleEndian.Uint64(b[trailerTag:]),
	}, true
}

// AppendBinary appends the 20 bytes of t to b. The error is always nil, as encoding.BinaryAppender requires one.
func (t Trailer) AppendBinary(b []byte) ([]byte, error) {
	var p [TrailerSize]byte
	binary.BigEndian.PutUint16(p[:], trailerFirst)
	binary.BigEndian.PutUint16(p[trailerBeat:], t.Beat)
	binary.BigEndian.PutUint16(p[trailerFlags:], t.Flags)
	binary.LittleEndian.PutUint64(p[trailerTag:], t.Tag)
	binary.BigEndian.PutUint16(p[trailerBalance:], Checksum(p[:]))
	return append(b, p[:]...), nil
}

// Trailer returns the trailer of an advertisement from src. A beat of more than [MaxBeat] is an error of the caller.
func (k TrailerKey) Trailer(src netip.Addr, a Advert, beat uint16) Trailer {
	t := Trailer{Beat: beat}
	t.Tag = k.Tag(src, a, t)
	return t
}

// Tag returns the tag of an advertisement from src with a trailer, whose own tag it ignores.
func (k TrailerKey) Tag(src netip.Addr, a Advert, t Trailer) uint64 {
	var m [trailerMessage]byte
	binary.BigEndian.PutUint16(m[:], trailerFirst)
	binary.BigEndian.PutUint16(m[2:], t.Beat)
	m[4], m[5], m[6], m[7] = a.VHID, a.AdvBase, a.AdvSkew, a.Demote
	from := src.As16()
	copy(m[8:], from[:])
	binary.BigEndian.PutUint64(m[24:], a.Counter)
	copy(m[32:], a.Digest[:])
	binary.BigEndian.PutUint16(m[52:], t.Flags)
	return sipHash(k, m[:])
}
