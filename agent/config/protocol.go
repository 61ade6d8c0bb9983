// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net"
	"strings"
)

// decodeProtocol reads the keys that only peers of a certain kind need.
func decodeProtocol(d *draft) {
	g := &d.group
	d.oneOf("digest", &g.Digest, DigestAll, DigestNoLinkLocal)
	decodeLLAddr(d)
	if d.oneOf("peer_ttl", &g.PeerTTL, PeerTTLAny, PeerTTLStrict) && !d.tried("peers") {
		d.warn("peer_ttl", "has no effect without peers: the TTL of multicast is always 255")
	}
	d.boolean("broadcast", &g.Broadcast)
	if g.Broadcast && len(g.Peers) > 0 {
		d.r.problem(max(d.line("broadcast"), d.line("peers")), "broadcast", "is set together with peers; "+
			"keep one of the two: broadcast is for ucarp --nomcast, peers get unicast")
	}
	d.boolean("require_trailer", &g.RequireTrailer)
	d.renamed("require_seal", "require_trailer")
	d.oneOf("replay", &g.Replay, ReplayOff, ReplayStrict)
}

func decodeLLAddr(d *draft) {
	const key = "lladdr"
	var text string
	if !d.str(key, &text) {
		return
	}
	hw, err := net.ParseMAC(text)
	why := ""
	switch {
	case err != nil || len(hw) != 6 || strings.Count(text, ":") != 5:
		why = "is not an Ethernet address"
	case hw[0]&1 != 0:
		why = "is a multicast address"
	case [6]byte(hw) == [6]byte{}:
		why = "is not an address that an interface can have"
	case d.hasVHID && [6]byte(hw) == [6]byte{0, 0, 0x5e, 0, 1, d.group.VHID}:
		d.problem(key, "%q is the virtual MAC of vhid %d, which OpenBSD does not include in the digest; leave the key out",
			text, d.group.VHID)
		return
	}
	if why != "" {
		d.problem(key, "%q %s; allowed is the lladdr that is set by hand on the peers' carp interface, "+
			"such as \"02:11:22:33:44:55\"", text, why)
		return
	}
	mac := [6]byte(hw)
	d.group.LLAddr = &mac
}
