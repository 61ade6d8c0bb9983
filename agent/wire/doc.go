// SPDX-License-Identifier: Apache-2.0

// Package wire holds the codecs of what vipd says and hears: Ethernet, IPv4 and IPv6
// envelopes, CARP advertisements with their HMAC, ARP, and as much of VRRP as is
// needed to recognise it.
//
// The package is pure: no clock, no randomness, no I/O. Parse functions return a value
// and an error and never a half-filled value; builders append to a caller's buffer and
// on error return it as it was given.
//
// Field layouts follow FreeBSD sys/netinet/ip_carp.h and ip_carp.c, with OpenBSD's
// meaning of byte 4 (demotion count).
package wire
