// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"crypto/sha1" //nolint:gosec // CARP's digest is HMAC-SHA1
	"encoding"
	"encoding/binary"
	"fmt"

	"vipd/loader/object"
)

// MaxKey is the longest key of an [AuthContext], as on FreeBSD and ucarp.
const MaxKey = 19

// MaxContexts bounds the accepted contexts of a group.
const MaxContexts = 8

// AuthContext is one key and address set whose adverts are accepted.
type AuthContext struct {
	// Key is the passphrase as it is, 0..19 bytes.
	Key []byte
	// Prefix is the constant part of the hashed message: version and type (02 01),
	// OpenBSD's link-layer address if any, VHID, addresses. The counter follows it.
	Prefix []byte
	// TrailerKey is the SipHash key of trailers under this context (docs/authentication.md). Zero: no trailer is right.
	TrailerKey [16]byte
}

// keyless reports whether no trailer is right under the context.
func (c AuthContext) keyless() bool { return c.TrailerKey == [16]byte{} }

const counterSize = 8

// compile hashes what is constant: the key blocks and all whole blocks of the prefix. The kernel does the rest.
func (c AuthContext) compile() (inner, outer [5]uint32, tmpl [32]uint32, off, nblocks uint32, err error) {
	if len(c.Key) > MaxKey {
		return inner, outer, tmpl, 0, 0, fmt.Errorf("key of %d bytes: at most %d are allowed", len(c.Key), MaxKey)
	}
	if inner, err = midstate(c.Key, 0x36, c.Prefix); err != nil {
		return inner, outer, tmpl, 0, 0, err
	}
	if outer, err = midstate(c.Key, 0x5c, nil); err != nil {
		return inner, outer, tmpl, 0, 0, err
	}
	rest := c.Prefix[len(c.Prefix)/sha1.BlockSize*sha1.BlockSize:]
	nblocks = 1
	if len(rest)+counterSize+1+8 > sha1.BlockSize {
		nblocks = 2
	}
	var block [2 * sha1.BlockSize]byte
	copy(block[:], rest)
	block[len(rest)+counterSize] = 0x80
	bits := uint64(sha1.BlockSize+len(c.Prefix)+counterSize) * 8
	binary.BigEndian.PutUint64(block[nblocks*sha1.BlockSize-8:], bits)
	for i := range tmpl {
		tmpl[i] = binary.BigEndian.Uint32(block[4*i:])
	}
	return inner, outer, tmpl, uint32(len(rest)), nblocks, nil
}

// midstate returns SHA-1's state after the padded key and the whole blocks of msg.
func midstate(key []byte, pad byte, msg []byte) (state [5]uint32, err error) {
	block := make([]byte, sha1.BlockSize, sha1.BlockSize+len(msg))
	copy(block, key)
	for i := range block {
		block[i] ^= pad
	}
	h := sha1.New() //nolint:gosec // see above
	h.Write(append(block, msg[:len(msg)/sha1.BlockSize*sha1.BlockSize]...))
	m, ok := h.(encoding.BinaryMarshaler)
	if !ok {
		return state, fmt.Errorf("the sha1 of this toolchain does not expose its state")
	}
	b, err := m.MarshalBinary()
	if err != nil {
		return state, fmt.Errorf("take the state of sha1: %w", err)
	}
	const magic = "sha\x01"
	if len(b) < len(magic)+sha1.Size || string(b[:len(magic)]) != magic {
		return state, fmt.Errorf("the sha1 of this toolchain exposes its state in an unknown format")
	}
	for i := range state {
		state[i] = binary.BigEndian.Uint32(b[len(magic)+4*i:])
	}
	return state, nil
}

// compileAuth returns the map entry that accepts all of ctxs.
func compileAuth(ctxs []AuthContext) (*object.BPFAuth, error) {
	if len(ctxs) > MaxContexts {
		return nil, fmt.Errorf("%d accepted keys: at most %d are allowed", len(ctxs), MaxContexts)
	}
	a := &object.BPFAuth{N: uint32(len(ctxs))}
	for i, c := range ctxs {
		e := &a.Ctx[i]
		var err error
		if e.Inner, e.Outer, e.Tmpl, e.Off, e.Nblocks, err = c.compile(); err != nil {
			return nil, err
		}
		if !c.keyless() {
			e.TrailerKey, e.Trailers = sipKey(c.TrailerKey), 1
		}
	}
	return a, nil
}

// sipKey returns a key as SipHash reads it.
func sipKey(k [16]byte) [2]uint64 {
	return [2]uint64{binary.LittleEndian.Uint64(k[:8]), binary.LittleEndian.Uint64(k[8:])}
}
