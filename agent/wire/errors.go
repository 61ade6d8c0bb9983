// SPDX-License-Identifier: Apache-2.0

package wire

import "errors"

// Errors of the parsers. They are returned wrapped: test with errors.Is.
var (
	// ErrShort: fewer bytes than the format needs.
	ErrShort = errors.New("too short")
	// ErrVersion: a version nibble that is not the format's.
	ErrVersion = errors.New("wrong version")
	// ErrLength: a length field that contradicts the bytes at hand.
	ErrLength = errors.New("wrong length")
	// ErrChecksum: an Internet checksum that does not come to zero.
	ErrChecksum = errors.New("wrong checksum")
	// ErrProtocol: well formed, but not the protocol asked for (EtherType, IP protocol, fragment).
	ErrProtocol = errors.New("not this protocol")
)

// Errors of the builders.
var (
	// ErrFamily: addresses that are missing, of mixed families or of a family the format has not.
	ErrFamily = errors.New("wrong address family")
	// ErrRange: a value that does not fit its field.
	ErrRange = errors.New("value out of range")
	// ErrKeyTooLong: a passphrase of more than MaxKey bytes.
	ErrKeyTooLong = errors.New("passphrase longer than 19 bytes")
)
