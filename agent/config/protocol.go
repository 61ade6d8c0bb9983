// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net"
	"strings"
)

// decodeProtocol reads what a group needs only for peers of a certain kind.
func decodeProtocol(s *section, d *draft) {
	g := &d.group
	s.oneOf("digest", &g.Digest, DigestAll, DigestNoLinkLocal)
	decodeLLAddr(s, d)
	if s.oneOf("peer_ttl", &g.PeerTTL, PeerTTLAny, PeerTTLStrict) && !s.tried("peers") {
		s.r.warn(s.line("peer_ttl"), "peer_ttl", "has no effect without peers: the TTL of multicast must be 255 always")
	}
	s.boolean("broadcast", &g.Broadcast)
	if g.Broadcast && len(g.Peers) > 0 {
		s.r.problem(max(s.line("broadcast"), s.line("peers")), "broadcast", "stands beside peers; keep one of the two: broadcast is for ucarp --nomcast, peers are sent to one by one")
	}
	s.boolean("require_seal", &g.RequireSeal)
	s.oneOf("replay", &g.Replay, ReplayOff, ReplayStrict)
}

func decodeLLAddr(s *section, d *draft) {
	const key = "lladdr"
	var text string
	if !s.str(key, &text) {
		return
	}
	hw, err := net.ParseMAC(text)
	why := ""
	switch {
	case err != nil || len(hw) != 6 || strings.Count(text, ":") != 5:
		why = "is no Ethernet address"
	case hw[0]&1 != 0:
		why = "is a multicast address"
	case [6]byte(hw) == [6]byte{}:
		why = "is no address that an interface can have"
	case d.hasVHID && [6]byte(hw) == [6]byte{0, 0, 0x5e, 0, 1, d.group.VHID}:
		s.r.problem(s.line(key), key, "%q is the virtual MAC of vhid %d, which OpenBSD does not put into the digest; leave the key out", text, d.group.VHID)
		return
	}
	if why != "" {
		s.r.problem(s.line(key), key, "%q %s; allowed is the lladdr that is set by hand on the peers' carp interface, such as \"02:11:22:33:44:55\"", text, why)
		return
	}
	mac := [6]byte(hw)
	d.group.LLAddr = &mac
}
