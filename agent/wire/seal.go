// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // CARP's own hash; here only a key derivation
	"encoding/binary"
	"net/netip"
)

// A sealed advertisement mitigates a weakness of CARP: the HMAC covers VHID, addresses and counter, but
// neither priority nor source, so that a replayed counter and digest can carry any priority. The BSDs do
// not interpret the counter; vipd uses its bits as
//
//	bits 63..32  a sequence that rises with every advert of a source
//	bits 31..16  a tag over sequence, source, advbase, advskew and demote
//	bits 15..0   a tag over the sequence alone, which marks a counter of vipd
//
// The second tag is in the lowest bits: a peer that adopts our counter and increments it (FreeBSD, NetBSD,
// ucarp) breaks the tag and is recognised as an ordinary peer. See docs/sealed-adverts.md for the limits.

// SealKey holds the keys of the tags, derived from the CARP key.
type SealKey struct {
	// Recognise is for the tag over the sequence, Bind for the tag over everything.
	Recognise, Bind [16]byte
}

// SealKey derives the keys of the tags from k.
func (k Key) SealKey() SealKey {
	var s SealKey
	copy(s.Recognise[:], k.derive("vipd sealed advert, recognise"))
	copy(s.Bind[:], k.derive("vipd sealed advert, bind"))
	return s
}

func (k Key) derive(label string) []byte {
	h := hmac.New(sha1.New, k.pass[:])
	h.Write([]byte(label))
	return h.Sum(nil)
}

// Sealed holds the fields of an advert that a seal covers besides the sequence.
type Sealed struct {
	Src                      netip.Addr
	AdvBase, AdvSkew, Demote uint8
}

// SealVerdict is the result of [SealKey.Open].
type SealVerdict uint8

// Verdicts on a counter.
const (
	SealNone   SealVerdict = iota // an ordinary CARP counter
	SealValid                     // sent by a vipd node with these fields
	SealBroken                    // a counter of a vipd node with other fields
)

// Counter returns the counter that seals p with the sequence number seq.
func (s SealKey) Counter(seq uint32, p Sealed) uint64 {
	return uint64(seq)<<32 | uint64(s.bindTag(seq, p))<<16 | uint64(s.recogniseTag(seq))
}

// Open checks a counter against the advert that contained it. The sequence is valid unless the verdict is
// SealNone.
func (s SealKey) Open(counter uint64, p Sealed) (seq uint32, v SealVerdict) {
	seq = uint32(counter >> 32)
	switch {
	case uint16(counter) != s.recogniseTag(seq):
		return 0, SealNone
	case uint16(counter>>16) != s.bindTag(seq, p):
		return seq, SealBroken
	default:
		return seq, SealValid
	}
}

// SequenceRises reports whether next comes after last in serial number arithmetic (RFC 1982), which allows
// the sequence to wrap.
func SequenceRises(last, next uint32) bool {
	return int32(next-last) > 0
}

func (s SealKey) recogniseTag(seq uint32) uint16 {
	var m [4]byte
	binary.BigEndian.PutUint32(m[:], seq)
	return uint16(sipHash(s.Recognise, m[:]))
}

func (s SealKey) bindTag(seq uint32, p Sealed) uint16 {
	var m [24]byte
	src := p.Src.As16()
	binary.BigEndian.PutUint32(m[:], seq)
	m[4], m[5], m[6] = p.AdvBase, p.AdvSkew, p.Demote
	copy(m[8:], src[:])
	return uint16(sipHash(s.Bind, m[:]))
}
