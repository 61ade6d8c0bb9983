// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"net/netip"

	"vipd/agent/election"
	"vipd/loader"
)

// Adoption (design I1): what an earlier vipd left pinned goes on, as long as its lease does. The machine starts where
// that one stopped, the programs are replaced in place, and answering is never interrupted. What no group claims is
// removed, addresses before their fence.

// adoption is what an earlier vipd left.
type adoption struct {
	pinned     map[place]loader.PinnedGroup // and not claimed yet
	local      map[home][]netip.Prefix      // local routes that are there, as far as they were read
	generation uint64                       // the highest that was pinned, of whatever group: ours go on from there
}

// readPinned notes what the data plane adopted, by place. This node's next number is higher than those that the
// earlier vipd sent: if its files are lost, peers would refuse an adopted MASTER as a replay, and take over.
func (l *Loop) readPinned() {
	a := &l.adoption
	for _, p := range l.plane.Pinned() {
		a.pinned[place{p.IfIndex, p.VHID}] = p
		a.generation = max(a.generation, p.Role.Generation)
		l.sequence.Raise(p.Number)
	}
}

// begin gives a new group its machine: that of the earlier vipd's group, if there was one, or else one in INIT.
func (a *adoption) begin(g *group) {
	e := g.env
	link, err := e.links.Named(g.cfg.Interface) // if there is none, iface.refresh reports it
	at := place{link.Index, g.cfg.VHID}
	p, pinned := a.pinned[at]
	if err != nil || !pinned {
		g.machine = election.New(e.electionConfig(g.cfg), e.clock.Now(), a.generation)
		return
	}
	delete(a.pinned, at) // another name of the interface does not claim it again
	from := election.Adopted{
		State: stateOf(p.Role.State), Generation: a.generation,
		Lease: election.Instant(p.Role.Lease), SendUntil: election.Instant(p.Role.SendUntil),
		Yielded:  p.Seen.YieldedGeneration >= p.Role.Generation,
		Priority: election.Priority(p.SentPriority), Demotion: e.ledger.total(),
	}
	if from.State == election.Master && !from.Yielded {
		from.Generation = p.Role.Generation
	}
	g.machine, g.lifecycle.late = election.Adopt(e.electionConfig(g.cfg), e.clock.Now(), from, nil)
	g.adoptAddresses(link.Index, p.VIPs, from.State == election.Master)
	a.adoptLocal(g, home{link.Index, link.Table}, p.VIPs)
	g.lifecycle.adopted = true
	e.log.Info("adopted", "group", g.name, "state", g.machine.State().String(), "generation", p.Role.Generation)
}

// adoptAddresses takes over the addresses of the earlier vipd's group. Those that the config no longer has are removed:
// they are about to lose their fence. A group that was not MASTER has none, unless that vipd was killed while it took
// them off.
func (g *group) adoptAddresses(ifindex int, vips []netip.Addr, master bool) {
	ours := make(map[netip.Addr]netip.Prefix, len(g.cfg.Addresses))
	for _, p := range g.cfg.Addresses {
		ours[p.Addr()] = p
	}
	for _, addr := range vips {
		if p, is := ours[addr]; is {
			if master && !g.cfg.ByRoutes() || g.env.addresses.Has(ifindex, addr) {
				put(&g.onHost.addresses, addr, placed{Prefix: p})
			}
			continue
		}
		if err := g.env.delVIP(ifindex, addr); err != nil {
			g.env.log.Error("address of an earlier config not removed", "group", g.name, "err", err)
		}
	}
}

// adoptLocal takes over the local routes of the earlier vipd's group.
func (a *adoption) adoptLocal(g *group, at home, vips []netip.Addr) {
	there, read := a.local[at]
	if !read {
		var err error
		if there, err = g.env.host.Local(at.ifindex, at.table); err != nil {
			g.env.log.Warn("local routes of an earlier vipd not readable", "err", err)
		}
		a.local[at] = there
	}
	if len(there) > 0 {
		gone, kept := split(vips, setOf(g.cfg.Addrs()))
		g.adoptLocal(at, there, gone, kept)
	}
}

func stateOf(role uint8) election.State {
	switch role {
	case loader.RoleMaster:
		return election.Master
	case loader.RoleBackup:
		return election.Backup
	default:
		return election.Init
	}
}

// finishAdoption carries out what adoption decided, once the groups are in the data plane, and removes what no group
// claimed.
func (l *Loop) finishAdoption() {
	for _, g := range l.groups.order {
		g.finishAdoption()
	}
	if !l.inheriting {
		l.takeOffUnclaimed()
		l.dropUnclaimed()
	}
	clear(l.adoption.pinned)
	for _, g := range l.groups.order {
		if g.lifecycle.adopted {
			g.resumeHook()
		}
	}
}

func (g *group) finishAdoption() {
	late := g.lifecycle.late
	g.lifecycle.late = nil
	if g.machine.State() != election.Master {
		for _, p := range g.onHostNow() { // routes that the earlier one may have made
			if !p.IsSingleIP() {
				put(&g.onHost.routes, p.Addr(), p)
			}
		}
	}
	for _, act := range late {
		g.carryOut(act)
	}
	g.publish()
}

// takeOffUnclaimed removes addresses that an earlier vipd left and no group has.
func (l *Loop) takeOffUnclaimed() {
	TakeOff(l.host, l.plane.Unclaimed(), l.groups.inheritRoute, l.log)
}

// dropUnclaimed removes the groups of the earlier vipd that the config no longer has from the data plane.
func (l *Loop) dropUnclaimed() {
	if _, err := l.plane.DropUnclaimed(); err != nil {
		l.log.Error("groups of an earlier config not removed", "err", err)
	}
}
