// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"crypto/sha1" // the protocol's digest is HMAC-SHA1
	"encoding"
	"encoding/binary"
	"hash"
)

// Signer computes the digests of one key and prefix, as Key.Digest does. All that comes before the counter is hashed
// once, so that each digest takes two blocks, or three where the counter reaches into another one. It is not safe for
// concurrent use.
type Signer struct {
	sha          sha
	inner, outer []byte // states of the hash after key and prefix, and after the key
	buf          [sha1.Size]byte
}

// sha is what crypto/sha1 documents that its hash implements.
type sha interface {
	hash.Hash
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// Signer returns a Signer for the prefix, see DigestPrefix.
func (k Key) Signer(prefix []byte) *Signer {
	state := func(parts ...[]byte) []byte {
		h := sha1.New().(sha)
		for _, p := range parts {
			h.Write(p)
		}
		b, err := h.AppendBinary(nil)
		if err != nil {
			panic("state of SHA-1: " + err.Error()) // crypto/sha1 returns none
		}
		return b
	}
	return &Signer{
		sha:   sha1.New().(sha),
		inner: state(k.appendPad(nil, 0x36), prefix),
		outer: state(k.appendPad(nil, 0x5c)),
	}
}

// Digest returns the digest for a counter.
func (s *Signer) Digest(counter uint64) [20]byte {
	sum := s.after(s.inner, binary.BigEndian.AppendUint64(s.buf[:0], counter))
	sum = s.after(s.outer, sum)
	return [20]byte(sum)
}

// after continues a state by one message.
func (s *Signer) after(state, msg []byte) []byte {
	if err := s.sha.UnmarshalBinary(state); err != nil {
		panic("state of SHA-1: " + err.Error()) // it is from AppendBinary
	}
	s.sha.Write(msg)
	return s.sha.Sum(s.buf[:0])
}
