// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"net/netip"
	"slices"

	"vipd/agent/config"
	"vipd/agent/wire"
)

// family is IPv4 or IPv6 as far as adverts differ by it. One digest covers the
// addresses of both; each has adverts of its own if the group has addresses of it.
type family struct {
	name      string
	multicast netip.Addr
	of        func(netip.Addr) bool
}

var families = []family{
	{"ipv4", wire.MulticastV4, netip.Addr.Is4},
	{"ipv6", wire.MulticastV6, netip.Addr.Is6},
}

func (g *group) has(f family) bool { return hasFamily(g.cfg, f) }

func hasFamily(g config.Group, f family) bool {
	return slices.ContainsFunc(g.Addresses, func(p netip.Prefix) bool { return f.of(p.Addr()) })
}

// peers are those of the family, the one that spoke last first: a claim counts from its first advert
// on, and that one should end the old owner's voice.
func (g *group) peers(f family) []netip.Addr {
	peers := slices.DeleteFunc(slices.Clone(g.cfg.Peers), func(p netip.Addr) bool { return !f.of(p) })
	if v := g.machine.View(); v.Heard {
		if i := slices.Index(peers, v.Master.Src); i > 0 {
			peers[0], peers[i] = peers[i], peers[0]
		}
	}
	return peers
}

// source is the source address of our adverts: the interface's first address that
// is no VIP; over IPv6 the link-local one if there is one, over IPv4 0.0.0.0 if
// there is none, both as on the BSDs.
func (p *port) source(f family) (netip.Addr, error) {
	var first netip.Addr
	for _, pf := range p.own {
		addr := pf.Addr()
		if !f.of(addr) {
			continue
		}
		if addr.Is4() || addr.IsLinkLocalUnicast() {
			return addr, nil
		}
		if !first.IsValid() {
			first = addr
		}
	}
	switch {
	case first.IsValid():
		return first, nil
	case f.multicast.Is4():
		return netip.IPv4Unspecified(), nil
	default:
		return netip.Addr{}, fmt.Errorf("interface %s has no IPv6 address to advertise from: is IPv6 switched off there (net.ipv6.conf.%s.disable_ipv6)?", p.name, p.name)
	}
}
