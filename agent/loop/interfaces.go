// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"reflect"
	"slices"

	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/hostcheck"
	"vipd/agent/netio"
)

// interfaceSet is all interfaces of the node.
type interfaceSet struct {
	env         *env
	handicap    *handicap
	interfaces  map[string]*iface // by the name that the config has
	listedLinks []netio.Link      // of the host, as read last
	listed      []netio.Address   // the same
	resync      resync
	publish     func()
}

// syncInterfaces reads all interfaces and addresses, by one dump each, and moves the groups along with them.
func (s *interfaceSet) syncInterfaces() { s.syncAll(true) }

// syncLinks is syncInterfaces after an event about links. The kernel reports more than what counts here: with the first
// virtual MAC of an owner, for one, a NIC without a filter turns promiscuous.
func (s *interfaceSet) syncLinks() { s.syncAll(s.env.groups.unattached) }

// syncAll moves the groups along if it has to, or if what was read has changed.
func (s *interfaceSet) syncAll(follow bool) {
	began := s.env.clock.Now()
	was := s.faults()
	links, found := s.readLinks()
	if found {
		for _, p := range s.interfaces {
			p.find()
		}
	}
	addresses, read := s.readAddresses()
	if follow || links || addresses {
		s.follow(was)
	}
	if read {
		s.env.groups.restore()
	}
	s.resync.doneAll(began, s.env.clock.Now())
}

// syncAddresses is syncInterfaces after events that are about addresses alone. Most are about addresses of other
// programs on other interfaces, and come and go.
func (s *interfaceSet) syncAddresses() {
	began := s.env.clock.Now()
	changed, read := s.readAddresses()
	if changed {
		s.follow(s.faults())
	}
	// Also if nothing changed: what vipd itself has added since then may be gone again.
	if read && s.env.groups.lackVIPs(began) {
		// The kernel removes IPv6 addresses from an interface that is set down, and its event about the link comes later.
		s.syncInterfaces()
		return
	}
	s.resync.doneAddresses(began, s.env.clock.Now())
}

// faults returns what is wrong with each interface.
func (s *interfaceSet) faults() map[*iface]election.Reason {
	out := make(map[*iface]election.Reason, len(s.interfaces))
	for _, p := range s.interfaces {
		out[p] = p.fault
	}
	return out
}

// follow moves the groups along with the interfaces and addresses that were read. was has the faults before.
func (s *interfaceSet) follow(was map[*iface]election.Reason) {
	s.joinAliases()
	changed := false
	for _, p := range s.interfaces {
		p.refresh()
		changed = s.noteInterface(p, was[p]) || changed
	}
	clear(s.env.groups.byPlace)
	claims := s.env.groups.claimPlaces()
	// A group that lost its link goes to INIT before the node's demotion is advertised, as it has no link to advertise
	// it on; one that got it back starts with the demotion already gone.
	for _, g := range s.env.groups.order {
		s.syncGroup(g, claims)
	}
	if changed {
		s.handicap.demote()
	}
	s.env.groups.start()
	s.env.groups.noteUnattached()
	s.env.stale.reach, s.env.stale.idle = true, true
	s.publish()
}

// readLinks reads all interfaces of the host, and reports whether it could and whether they are others than before.
// Otherwise those read last stay in force.
func (s *interfaceSet) readLinks() (changed, read bool) {
	all, err := s.env.host.AllLinks()
	if err != nil {
		s.env.log.Error("interfaces of the host not readable, keeping what was known", "err", err)
		return false, false
	}
	if reflect.DeepEqual(all, s.listedLinks) {
		return false, true
	}
	s.listedLinks, s.env.links = all, netio.NewLinks(all)
	return true, true
}

// readAddresses reads all addresses of the host, and reports whether it could and whether its ordinary ones are others
// than before: what vipd adds itself changes nothing for the groups. If it cannot, those read last stay in force.
func (s *interfaceSet) readAddresses() (changed, read bool) {
	all, err := s.env.host.AllAddresses()
	if err != nil {
		s.env.log.Warn("addresses of the host not readable, keeping what was known", "err", err)
		return false, false
	}
	if slices.Equal(all, s.listed) {
		return false, true
	}
	changed = !slices.Equal(ordinary(all), ordinary(s.listed))
	s.listed, s.env.addresses = all, hostcheck.NewTable(all)
	return changed, true
}

// ordinary returns the addresses that are not vipd's.
func ordinary(all []netio.Address) []netio.Address {
	return slices.DeleteFunc(slices.Clone(all), func(a netio.Address) bool { return a.Ours })
}

// noteInterface keeps the ledger's share of an interface and logs once what is wrong. It reports whether the sum
// changed.
func (s *interfaceSet) noteInterface(p *iface, was election.Reason) bool {
	if p.fault == was {
		return false
	}
	name := api.DemotionLinkPrefix + p.name
	if p.fault == 0 {
		s.env.log.Info("interface usable", "ifname", p.name)
		return s.env.ledger.remove(name)
	}
	s.env.log.Warn("interface not usable", "ifname", p.name, "reason", p.fault.String(), "detail", p.detail)
	return s.env.ledger.set(name, s.env.cfg.Carp.IfdownDemotion, p.detail, s.env.clock.TimeOfDay())
}

// loseInterface gives up an interface on which the programs cannot be attached.
func (s *interfaceSet) loseInterface(p *iface, err error) {
	was := p.fault
	p.giveUp(attachFailed(err))
	if s.noteInterface(p, was) {
		s.handicap.demote()
	}
}

// syncGroup puts a group into the data plane of its interface, or its machine into INIT when the interface cannot be
// used.
//
// A virtual address that the host has as an ordinary one keeps its group out of the data plane, whose fence would cut
// the host off from its own address. An owner says goodbye first, so that another node serves the others of its
// addresses.
func (s *interfaceSet) syncGroup(g *group, claims *claims) {
	p := g.iface
	g.trouble = p.trouble
	switch {
	case claims.duplicate(g):
		g.unplug(g.fault)
	case g.fault == 0 && g.ownAddress():
		s.env.groups.byPlace[place{p.link.Index, g.cfg.VHID}] = g
		g.stepAside()
		g.publish()
		return
	case p.opened:
		s.env.groups.byPlace[place{p.link.Index, g.cfg.VHID}] = g
		if err := g.plug(); err != nil {
			s.env.log.Error("group not in the data plane", "group", g.name, "err", err)
			g.trouble = attachFailed(err) // the interface's other groups have no part in it
		}
	}
	if g.fault == 0 || s.env.leaving(g) {
		return
	}
	if v := g.machine.View(); v.State != election.Init || v.Reason != g.fault {
		g.step(election.Down{Reason: g.fault})
	}
	g.publish()
}

// start starts every group that is in INIT without a reason to be there.
func (s *groupSet) start() {
	for _, g := range s.order {
		g.start()
	}
}

// noteUnattached notes whether a group waits for an attachment, or for its link after one.
func (s *groupSet) noteUnattached() {
	s.unattached = slices.ContainsFunc(s.order, func(g *group) bool {
		return g.fault == election.ReasonAttachFailed || g.fault == election.ReasonInterfaceDuplicate ||
			g.iface != nil && g.iface.resetting
	})
}

// addInterface returns the interface under a name of the config.
func (s *interfaceSet) addInterface(name string) *iface {
	p := s.interfaces[name]
	if p == nil {
		p = newIface(s.env, name)
		s.interfaces[name] = p
	}
	return p
}

// dropInterfaces lets go of the interfaces that no group needs, under any of their names.
func (s *interfaceSet) dropInterfaces() {
	needed := map[*iface]bool{}
	for _, g := range s.env.groups.byName {
		needed[g.iface], needed[s.interfaces[g.cfg.Interface]] = true, true
	}
	for name, p := range s.interfaces {
		if needed[p] {
			continue
		}
		p.close(election.ReasonConfigChanged)
		delete(s.interfaces, name)
		if s.env.ledger.remove(api.DemotionLinkPrefix + name) {
			s.handicap.demote()
		}
	}
}
