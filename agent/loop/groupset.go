// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"cmp"
	"net/netip"
	"slices"

	"vipd/agent/config"
	"vipd/agent/election"
)

// groupSet is all groups of the node.
type groupSet struct {
	byName  map[string]*group
	order   []*group         // as in the config, those on their way out at the end
	byPlace map[place]*group // those in the data plane
	agenda  agenda           // of the machines
	reports agenda           // hellos that are due

	placing  []*group      // groups with addresses that are still to be added, removed or announced
	renewals rota[renewal] // of addresses
	routed   rota[*group]  // groups with routes of ours, to be looked at

	vips       map[netip.Addr]bool // of all groups; nil: to be made again
	unattached bool                // one waits for an interface or a slot that netlink need not report
	restoreAt  election.Instant    // when addresses are to be restored; 0: none are
}

// place is where a group lives in the data plane.
type place struct {
	ifindex int
	vhid    uint8
}

func newGroupSet() groupSet {
	return groupSet{
		byName: map[string]*group{}, byPlace: map[place]*group{},
		renewals: rota[renewal]{interval: renewEvery}, routed: rota[*group]{interval: lookAtRoutes},
	}
}

func (s *groupSet) at(ifindex int, vhid uint8) *group { return s.byPlace[place{ifindex, vhid}] }

// arrange puts the groups in the order of the config, those on their way out at the end.
func (s *groupSet) arrange(configured []config.Group) {
	s.order, s.vips = s.order[:0], nil
	for _, cfg := range configured {
		if g := s.byName[cfg.Name()]; g != nil {
			s.order = append(s.order, g)
		}
	}
	var out []*group
	for _, g := range s.byName {
		if g.lifecycle.removed {
			out = append(out, g)
		}
	}
	sortByName(out)
	s.order = append(s.order, out...)
}

// forget takes a group out of the set.
func (s *groupSet) forget(g *group) {
	delete(s.byName, g.name)
	s.agenda.drop(&g.appointment)
	s.reports.drop(&g.greeting.report)
	s.vips = nil
	s.order = slices.DeleteFunc(slices.Clone(s.order), func(other *group) bool { return other == g })
	if g.iface.opened {
		delete(s.byPlace, place{g.iface.link.Index, g.cfg.VHID})
	}
}

// on returns the groups that the interface carries by their names, also those that are not arranged yet.
func (s *groupSet) on(p *iface) []*group {
	var out []*group
	for _, g := range s.byName {
		if g.iface == p {
			out = append(out, g)
		}
	}
	sortByName(out)
	return out
}

func sortByName(groups []*group) {
	slices.SortFunc(groups, func(x, y *group) int { return cmp.Compare(x.name, y.name) })
}

// tell gives an event to the machines of all groups.
func (s *groupSet) tell(ev election.Event) {
	for _, g := range s.order {
		g.step(ev)
	}
}

// isVIP reports whether a group has the address.
func (s *groupSet) isVIP(addr netip.Addr) bool {
	if s.vips == nil {
		s.vips = map[netip.Addr]bool{}
		for _, g := range s.order {
			for _, p := range g.cfg.Addresses {
				s.vips[p.Addr()] = true
			}
		}
	}
	return s.vips[addr]
}

// inheritRoute puts a route on the list of an address in its prefix that is on the host, and reports whether there is
// one.
func (s *groupSet) inheritRoute(ifindex int, route netip.Prefix) bool {
	for _, g := range s.order {
		if g.iface.link.Index != ifindex {
			continue
		}
		for _, p := range g.onHostNow() {
			if p.Masked() == route && !p.IsSingleIP() {
				g.addRoute(p)
				return true
			}
		}
	}
	return false
}
