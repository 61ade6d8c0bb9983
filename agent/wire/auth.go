// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"crypto/sha1" // the protocol's digest is HMAC-SHA1
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// MaxKey is the longest passphrase in bytes: BSD copies it with its NUL into 20 bytes.
const MaxKey = 19

// Key is the shared secret of a group. The zero Key is the empty passphrase, which
// computes and verifies digests like any other. Its value is never printed.
type Key struct {
	pass [MaxKey + 1]byte // zero padded: trailing zeros do not change an HMAC key
}

// NewKey makes a Key of 0 to 19 passphrase bytes, taken as they are (not hashed).
func NewKey(pass []byte) (Key, error) {
	if len(pass) > MaxKey {
		return Key{}, fmt.Errorf("make key of %d bytes: %w; shorten it on every node", len(pass), ErrKeyTooLong)
	}
	var k Key
	copy(k.pass[:], pass)
	return k, nil
}

// Format prints a placeholder for every verb, so that no log or error can leak the key.
func (k Key) Format(s fmt.State, _ rune) {
	_, _ = s.Write([]byte("[redacted]")) // fmt.State has nowhere to report an error to
}

// DigestPrefix is the constant part of the authenticated message: version 2 and type 1
// as two bytes, lladdr if it is not nil (an OpenBSD peer whose lladdr was set by hand),
// the vhid, then every address once, IPv4 before IPv6, each ascending. Unspecified and
// all-ones addresses are left out, zones are ignored (FreeBSD carp_hmac_prepare,
// OpenBSD carp_hmac_prepare_ctx).
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

// Digest is HMAC-SHA1(key, prefix followed by the 8 counter bytes), see DigestPrefix.
// AdvBase, AdvSkew and Demote are not covered: whoever replays a counter and its digest
// can state any priority.
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
