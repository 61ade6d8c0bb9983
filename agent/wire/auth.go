// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"crypto/sha1" // the protocol's digest is HMAC-SHA1
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// MaxKey is the longest passphrase in bytes: the BSDs copy it with a NUL into 20 bytes.
const MaxKey = 19

// Key is the shared secret of a group. The zero Key is the empty passphrase, which works like any other.
// Its value is never printed.
type Key struct {
	pass [MaxKey + 1]byte // zero padded: trailing zeros do not change an HMAC key
}

// NewKey returns a Key of 0 to 19 passphrase bytes, which are used unhashed.
func NewKey(pass []byte) (Key, error) {
	if len(pass) > MaxKey {
		return Key{}, fmt.Errorf("passphrase of %d bytes: %w; shorten it on every node", len(pass), ErrKeyTooLong)
	}
	var k Key
	copy(k.pass[:], pass)
	return k, nil
}

// Format prints a placeholder for every verb, so that logs and errors never contain the key.
func (k Key) Format(s fmt.State, _ rune) {
	_, _ = s.Write([]byte("[redacted]")) // fmt.State has nowhere to report an error to
}

// DigestPrefix returns the constant part of the authenticated message: version 2 and type 1 as two bytes,
// lladdr unless it is nil (an OpenBSD peer with a configured lladdr), the VHID, and every address once,
// IPv4 before IPv6, each in ascending order. Unspecified and all-ones addresses are omitted, zones are
// ignored (FreeBSD carp_hmac_prepare, OpenBSD carp_hmac_prepare_ctx).
func DigestPrefix(vhid uint8, addrs []netip.Addr, lladdr *[6]byte) []byte {
	sorted := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		a = a.Unmap().WithZone("")
		if hashed(a) {
			sorted = append(sorted, a)
		}
	}
	slices.SortFunc(sorted, netip.Addr.Compare) // by length, then bytes: the protocol's order
	sorted = slices.Compact(sorted)

	p := []byte{carpVersion, carpType}
	if lladdr != nil {
		p = append(p, lladdr[:]...)
	}
	p = append(p, vhid)
	for _, a := range sorted {
		p = append(p, a.AsSlice()...)
	}
	return p
}

func hashed(a netip.Addr) bool {
	if !a.IsValid() || a.IsUnspecified() {
		return false
	}
	for _, octet := range a.AsSlice() {
		if octet != 0xff {
			return true
		}
	}
	return false
}

// Digest returns HMAC-SHA1(key, prefix followed by the 8 counter bytes), see DigestPrefix. It does not cover
// AdvBase, AdvSkew and Demote: a replayed counter and digest can carry any priority.
func (k Key) Digest(prefix []byte, counter uint64) [20]byte {
	var inner [192]byte // no allocation up to 30 IPv4 addresses
	msg := k.appendPad(inner[:0], 0x36)
	msg = append(msg, prefix...)
	msg = binary.BigEndian.AppendUint64(msg, counter)
	sum := sha1.Sum(msg)

	var outer [sha1.BlockSize + sha1.Size]byte
	msg = k.appendPad(outer[:0], 0x5c)
	return sha1.Sum(append(msg, sum[:]...))
}

func (k Key) appendPad(b []byte, pad byte) []byte {
	for _, c := range k.pass {
		b = append(b, c^pad)
	}
	for range sha1.BlockSize - len(k.pass) {
		b = append(b, pad)
	}
	return b
}
