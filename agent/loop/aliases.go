// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"vipd/agent/election"
)

// An interface has a name and any number of alternative names, and groups may be configured under each of them. There
// is one iface that serves the interface; those of its other names point to it.

// joinAliases finds the names that are of one interface, and gives each group the iface that serves it.
func (s *interfaceSet) joinAliases() {
	byIndex := map[int][]*iface{}
	for _, p := range s.interfaces {
		p.serves = nil
		if p.found {
			byIndex[p.link.Index] = append(byIndex[p.link.Index], p)
		}
	}
	for _, names := range byIndex {
		// The one that is open stays; else the one under the interface's own name.
		first := slices.MinFunc(names, func(x, y *iface) int {
			return cmp.Or(
				truth(y.opened)-truth(x.opened),
				truth(y.name == y.link.Name)-truth(x.name == x.link.Name),
				cmp.Compare(x.name, y.name),
			)
		})
		for _, p := range names {
			if p != first {
				p.serves = first
			}
		}
	}
	for _, g := range s.env.groups.order {
		p := s.interfaces[g.cfg.Interface]
		if p.serves != nil {
			p = p.serves
		}
		if p != g.iface {
			g.moveTo(p)
		}
	}
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// claims are the places and addresses of an interface, and the groups that have them.
type claims struct {
	vhids     map[place]*group
	addresses map[claimed]*group
}

type claimed struct {
	ifindex int
	addr    netip.Addr
}

// claimPlaces finds the groups that want what another one has under another name of the same interface. The config
// allows each place and address once per name, so that only alternative names can do that. Groups on their way out keep
// theirs until they are gone.
func (s *groupSet) claimPlaces() *claims {
	if !slices.ContainsFunc(s.order, func(g *group) bool { return g.iface.name != g.cfg.Interface }) {
		return nil
	}
	c := &claims{vhids: map[place]*group{}, addresses: map[claimed]*group{}}
	for _, leaving := range []bool{true, false} {
		for _, g := range s.order {
			if g.lifecycle.removed == leaving && g.iface.opened && c.blocks(g) == nil {
				c.take(g)
			}
		}
	}
	return c
}

func (c *claims) take(g *group) {
	ifindex := g.iface.link.Index
	c.vhids[place{ifindex, g.cfg.VHID}] = g
	for _, p := range g.cfg.Addresses {
		c.addresses[claimed{ifindex, p.Addr()}] = g
	}
}

// blocks returns the group that has what this one wants; nil if there is none.
func (c *claims) blocks(g *group) *group {
	ifindex := g.iface.link.Index
	if other := c.vhids[place{ifindex, g.cfg.VHID}]; other != nil && other != g {
		return other
	}
	for _, p := range g.cfg.Addresses {
		if other := c.addresses[claimed{ifindex, p.Addr()}]; other != nil && other != g {
			return other
		}
	}
	return nil
}

// duplicate reports whether another group has the group's place, and then notes it as the
// group's fault.
func (c *claims) duplicate(g *group) bool {
	if c == nil || !g.iface.opened {
		return false
	}
	other := c.blocks(g)
	if other == nil {
		return false
	}
	g.trouble = trouble{fault: election.ReasonInterfaceDuplicate, detail: fmt.Sprintf(
		"%s and %s are two names of one interface, on which %s has the same VHID or address; "+
			"keep one of the two groups, or put all addresses into one [[vip]]",
		g.cfg.Interface, cmp.Or(other.cfg.Interface, g.iface.link.Name), other.name,
	)}
	return true
}
