// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"net/netip"
	"slices"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/loader"
)

// addGroup starts a group of the config in INIT, or where an earlier vipd left it.
func (l *Loop) addGroup(cfg *config.Group) error {
	g, err := newGroup(l.env, cfg)
	if err != nil {
		return err
	}
	l.adoption.begin(g)
	g.iface = l.addInterface(cfg.Interface)
	l.groups.byName[g.name] = g
	if cfg.Hook != "" {
		l.metrics.PrepareHook(cfg.Interface, cfg.VHID)
	}
	if g.machine.State() == election.Init { // an adopted one knows it already
		g.step(election.Demotion{Total: l.ledger.total()})
	}
	g.step(election.AwaitChecks{Until: l.awaited.until})
	l.restoreHold(g)
	if l.disabled {
		g.step(election.Release{Reason: election.ReasonDisabled})
	}
	return nil
}

// setDisabled switches the node off, or on again. It reports whether that is a change.
func (l *Loop) setDisabled(off bool) bool {
	if l.disabled == off {
		return false
	}
	l.disabled = off
	l.log.Info("switched by the operator", "enabled", !off)
	if off {
		l.groups.tell(election.Release{Reason: election.ReasonDisabled})
	} else {
		l.syncInterfaces()
	}
	l.publish()
	return true
}

// makeWay takes addresses from the groups that lose them, before another one gets them: in the data plane an address of
// an interface has one owner, and taking it off the host later would take it from the new one. A group on its way out
// whose address another one wants has said goodbye, and goes at once.
func (l *Loop) makeWay(next *config.Config, changed []config.GroupChange) {
	type spot struct {
		ifname string
		addr   netip.Addr
	}
	owners := map[spot]uint8{} // the VHID that has an address then
	for _, cfg := range next.Groups {
		for _, p := range cfg.Addresses {
			owners[spot{cfg.Interface, p.Addr()}] = cfg.VHID
		}
	}
	wanted := func(by *group, addr netip.Addr) bool {
		vhid, owned := owners[spot{by.cfg.Interface, addr}]
		return owned && vhid != by.cfg.VHID
	}
	for _, g := range slices.Clone(l.groups.order) {
		anyWanted := slices.ContainsFunc(g.cfg.Addrs(), func(addr netip.Addr) bool { return wanted(g, addr) })
		if g.lifecycle.removed && anyWanted {
			l.dropGroup(g)
		}
	}
	for _, c := range changed {
		g := l.groups.byName[c.New.Name()]
		gone, kept := split(c.Old.Addrs(), setOf(c.New.Addrs()))
		g.dropVIPs(gone, kept)
		if slices.ContainsFunc(gone, func(addr netip.Addr) bool { return wanted(g, addr) }) {
			g.vacate(gone)
		}
	}
}

func setOf(addrs []netip.Addr) map[netip.Addr]bool {
	set := make(map[netip.Addr]bool, len(addrs))
	for _, addr := range addrs {
		set[addr] = true
	}
	return set
}

// split divides addresses by whether they are in the set.
func split(addrs []netip.Addr, set map[netip.Addr]bool) (without, within []netip.Addr) {
	for _, addr := range addrs {
		if set[addr] {
			within = append(within, addr)
		} else {
			without = append(without, addr)
		}
	}
	return without, within
}

// vacate takes addresses out of the group's entry in the data plane.
func (g *group) vacate(gone []netip.Addr) {
	in := &g.entry
	if in.plane == nil {
		return
	}
	in.spec.VIPs, _ = split(in.spec.VIPs, setOf(gone))
	if err := in.plane.Update(in.spec); err != nil {
		g.env.log.Error("addresses not taken out of the data plane", "group", g.name, "err", err)
		in.spec = loader.GroupSpec{} // unknown: the next one is written whatever it is
	}
}

// change puts new values in force without a change of state. The new key and address list go to the data plane before
// the first advert made with them.
func (g *group) change(cfg *config.Group) {
	e := g.env
	g.cfg, g.speaking.reach.looked = cfg, 0
	g.planLocal()
	g.keepConflicts()
	g.greeting.said = saying{} // addresses or password may be others now
	if cfg.Hook != "" {
		e.metrics.PrepareHook(cfg.Interface, cfg.VHID)
	}
	if sign, err := newSigning(cfg); err != nil {
		e.log.Error("password not usable", "group", g.name, "err", err) // checked before
	} else {
		g.signing = sign
	}
	own := g.ownAddress() // then it leaves the data plane below
	if g.entry.plane != nil && !own {
		if err := g.plug(); err != nil {
			e.log.Error("group not updated in the data plane", "group", g.name, "err", err)
		}
	}
	if g.machine.State() == election.Master {
		g.putVIPs()
	}
	g.step(election.Reconfigure{Config: e.electionConfig(cfg)})
	if g.machine.State() == election.Master {
		g.announce()
		g.env.post()
	}
	g.publish()
}

// forgetRemoved drops the groups that have let go.
func (l *Loop) forgetRemoved() {
	dropped := false
	for _, g := range slices.Clone(l.groups.order) {
		if g.lifecycle.removed && g.machine.State() == election.Init {
			l.dropGroup(g)
			dropped = true
		}
	}
	if dropped {
		l.publish()
	}
}

func (l *Loop) dropGroup(g *group) {
	g.unplug(election.ReasonConfigChanged)
	l.recorder.Forget(g.name)
	l.groups.forget(g)
	l.stale.ledger = l.ledger.remove(api.DemotionSendErrPrefix+g.name) || l.stale.ledger
	l.metrics.ForgetGroup(g.cfg.Interface, g.cfg.VHID)
	l.dropInterfaces()
}
