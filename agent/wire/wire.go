// SPDX-License-Identifier: Apache-2.0

// Package wire encodes and decodes packets: Ethernet, IPv4 and IPv6 headers, CARP advertisements with
// their HMAC, ARP, neighbour discovery, and enough of VRRP to recognise it.
//
// The package is pure: no clock, no randomness, no I/O. Parsers return either a value or an error, never
// a partial value. Builders append to the caller's buffer and return it unchanged on error.
//
// Field layouts follow FreeBSD sys/netinet/ip_carp.h and ip_carp.c, with OpenBSD's meaning of byte 4
// (demotion count).
package wire

import (
	"errors"
	"net/netip"
)

// Fixed addresses of the protocol; never modified.
var (
	// MulticastV4 is the destination of CARP advertisements over IPv4.
	MulticastV4 = netip.AddrFrom4([4]byte{224, 0, 0, 18})
	// MulticastV6 is the destination of CARP advertisements over IPv6, ff02::12.
	MulticastV6 = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0x12})
	// Broadcast is the Ethernet broadcast address.
	Broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
)

// VirtualMAC returns the MAC address of a group, 00:00:5e:00:01:VHID, for both IPv4 and IPv6.
func VirtualMAC(vhid uint8) [6]byte {
	return [6]byte{0x00, 0x00, 0x5e, 0x00, 0x01, vhid}
}

// UcarpMAC returns the source MAC of ucarp's adverts, 00:00:5e:00:00:VHID. The addresses themselves are at
// the host's own MAC.
func UcarpMAC(vhid uint8) [6]byte {
	return [6]byte{0x00, 0x00, 0x5e, 0x00, 0x00, vhid}
}

// MulticastMAC returns the Ethernet address of a multicast IP address (RFC 1112, RFC 2464), or zeros if the
// address is not multicast.
func MulticastMAC(addr netip.Addr) [6]byte {
	addr = addr.Unmap()
	switch {
	case !addr.IsMulticast():
		return [6]byte{}
	case addr.Is4():
		a := addr.As4()
		return [6]byte{0x01, 0x00, 0x5e, a[1] & 0x7f, a[2], a[3]}
	default:
		a := addr.As16()
		return [6]byte{0x33, 0x33, a[12], a[13], a[14], a[15]}
	}
}

// Errors of the parsers, returned wrapped.
var (
	// ErrShort: fewer bytes than the format needs.
	ErrShort = errors.New("too short")
	// ErrVersion: the version nibble is not that of the format.
	ErrVersion = errors.New("wrong version")
	// ErrLength: a length field does not match the number of bytes.
	ErrLength = errors.New("wrong length")
	// ErrChecksum: the Internet checksum is not zero.
	ErrChecksum = errors.New("wrong checksum")
	// ErrProtocol: another protocol (EtherType, IP protocol) or a fragment.
	ErrProtocol = errors.New("not this protocol")
)

// Errors of the builders.
var (
	// ErrFamily: an address is missing, families are mixed, or the format does not have the family.
	ErrFamily = errors.New("wrong address family")
	// ErrRange: a value does not fit its field.
	ErrRange = errors.New("value out of range")
	// ErrKeyTooLong: a passphrase has more than MaxKey bytes.
	ErrKeyTooLong = errors.New("passphrase longer than 19 bytes")
)
