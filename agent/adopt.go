// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/netip"
	"slices"

	"vipd/agent/election"
	"vipd/loader"
)

// Adoption (design I1): what an earlier vipd left pinned goes on, as long as its
// lease does. The machine starts where that one stopped, the programs are
// replaced in place, and answering is never interrupted. What nobody claims is
// removed, addresses before their fence.

// readPinned notes what the data plane adopted, by place.
func (a *Agent) readPinned() {
	for _, p := range a.plane.Pinned() {
		a.pinned[place{p.IfIndex, p.VHID}] = p
		// Generations go on from the highest pinned one, whatever group it was of.
		a.firstGeneration = max(a.firstGeneration, p.Role.Generation)
	}
}

// adopt makes the machine of a group that is pinned, and reports whether it is.
func (a *Agent) adopt(g *group) bool {
	link, err := a.host.Link(g.cfg.Interface)
	if err != nil {
		return false // refresh says why
	}
	p, ok := a.pinned[place{link.Index, g.cfg.VHID}]
	if !ok {
		return false
	}
	from := election.Adopted{
		State: stateOf(p.Role.State), Generation: a.firstGeneration,
		Lease: election.Instant(p.Role.Lease), SendUntil: election.Instant(p.Role.SendUntil),
		Yielded:  p.Seen.YieldedGeneration >= p.Role.Generation,
		Priority: election.Priority(p.SentPriority), Demotion: a.ledger.total(),
	}
	if from.State == election.Master && !from.Yielded {
		from.Generation = p.Role.Generation
	}
	g.machine, g.late = election.Adopt(a.electionConfig(g.cfg), a.now(), from, nil)
	for _, addr := range p.VIPs {
		i := slices.IndexFunc(g.cfg.Addresses, func(p netip.Prefix) bool { return p.Addr() == addr })
		if i < 0 {
			// It is about to lose its fence.
			if err := a.host.DelVIP(link.Index, addr); err != nil {
				a.log.Error("address of an earlier config not removed", "group", g.name, "err", err)
			}
			continue
		}
		g.onHost[addr] = g.cfg.Addresses[i]
	}
	g.adopted = true
	a.log.Info("adopted", "group", g.name, "state", g.machine.View().State.String(), "generation", p.Role.Generation)
	return true
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

// settleAdopted carries out what adoption decided, once the group is plugged, and
// removes what nobody claimed.
func (a *Agent) settleAdopted() {
	var adopted []*group
	for _, g := range a.order {
		late := g.late
		g.late = nil
		if g.adopted {
			adopted = append(adopted, g)
		}
		if g.machine.View().State != election.Master {
			for addr, p := range g.onHost { // routes that the earlier one may have made
				if !p.IsSingleIP() {
					g.routes[addr] = p
				}
			}
		}
		for _, act := range late {
			a.execute(g, act)
		}
		g.publish(a)
	}
	takeOff(a.host, a.plane.Unclaimed(), a.inheritRoute, a.log)
	if _, err := a.plane.DropUnclaimed(); err != nil {
		a.log.Error("groups of an earlier config not removed", "err", err)
	}
	clear(a.pinned)
	a.resumeHooks(adopted)
}
