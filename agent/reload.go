// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/sdnotify"
	"vipd/loader"
)

// stopReason is why groups leave with the daemon.
const stopReason = election.ReasonStop

// errReloadFlags answers a reload of a daemon that was started without a file.
var errReloadFlags = api.Errorf(api.CodeBadRequest,
	"vipd was started from the command line and has no file to read again; start it with --config FILE")

// addGroup starts a group of the config in INIT.
func (a *Agent) addGroup(cfg config.Group) error {
	g, err := newGroup(a, cfg)
	if err != nil {
		return err
	}
	p := a.ports[cfg.Interface]
	if p == nil {
		p = &port{name: cfg.Interface, lost: map[string]uint64{}}
		a.ports[cfg.Interface] = p
	}
	g.port = p
	a.groups[g.name] = g
	if cfg.Hook != "" {
		a.metrics.PrepareHook(cfg.Interface, cfg.VHID)
	}
	if g.machine.View().State == election.Init { // an adopted one knows it already
		a.step(g, election.Demotion{Total: a.ledger.total()})
	}
	if a.disabled {
		a.step(g, election.Release{Reason: election.ReasonDisabled})
	}
	return nil
}

// arrange puts the groups in the order of the config, those on their way out
// at the end.
func (a *Agent) arrange() {
	a.order = a.order[:0]
	for _, cfg := range a.cfg.Groups {
		if g := a.groups[cfg.Name()]; g != nil {
			a.order = append(a.order, g)
		}
	}
	var out []*group
	for _, g := range a.groups {
		if g.removed {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(x, y *group) int { return cmp.Compare(x.name, y.name) })
	a.order = append(a.order, out...)
}

// applyReload reads the config again and applies the difference. A config that
// is refused leaves everything as it was.
func (a *Agent) applyReload(ctx context.Context) (api.Reload, error) {
	if a.opts.Load == nil {
		return api.Reload{}, errReloadFlags
	}
	a.tellSystemd(sdnotify.Reloading())
	defer a.tellSystemd(sdnotify.Ready)
	next, warnings, err := a.opts.Load()
	if err != nil {
		return api.Reload{}, invalidConfig(err)
	}
	var out api.Reload
	var applyErr error
	err = a.do(ctx, func() { out, applyErr = a.switchTo(next, warnings) })
	if err = errors.Join(err, applyErr); err != nil {
		return api.Reload{}, err
	}
	a.log.Info("config reloaded", "added", out.Added, "removed", out.Removed, "changed", out.Changed,
		"global", out.Global, "need_restart", out.NeedRestart)
	return out, nil
}

// switchTo moves from the running config to next, in the loop. Groups that did
// not change are not touched: no timer, counter or lease of theirs moves.
func (a *Agent) switchTo(next *config.Config, warnings []config.Problem) (api.Reload, error) {
	if a.stopping {
		return api.Reload{}, errStopping
	}
	diff := config.Diff(a.cfg, next)
	// Everything that can fail comes before anything that has an effect.
	for _, cfg := range next.Groups {
		if err := (&group{}).setSecrets(cfg); err != nil {
			return api.Reload{}, err
		}
	}
	out := api.Reload{
		Added: groupNames(diff.Added), Removed: groupNames(diff.Removed), Changed: []string{},
		Global: orEmpty(diff.Global), NeedRestart: orEmpty(diff.NeedRestart), Warnings: orEmpty(config.Strings(warnings)),
	}
	for _, c := range diff.Changed {
		out.Changed = append(out.Changed, c.New.Name())
	}
	a.cfg = keepFixed(a.cfg, next)
	for _, cfg := range diff.Removed {
		g := a.groups[cfg.Name()]
		g.removed = true
		a.step(g, election.Release{Reason: election.ReasonConfigChanged})
	}
	var errs []error
	for _, cfg := range diff.Added {
		if old := a.groups[cfg.Name()]; old != nil {
			a.dropGroup(old) // still on its way out from an earlier reload
		}
		errs = append(errs, a.addGroup(cfg))
	}
	a.makeWay(next, diff.Changed)
	for _, c := range diff.Changed {
		a.changeGroup(a.groups[c.New.Name()], c.New)
	}
	if len(diff.Global) > 0 {
		for _, g := range a.order {
			if !g.removed && !slices.Contains(out.Changed, g.name) {
				a.step(g, election.Reconfigure{Config: a.electionConfig(g.cfg)})
			}
		}
	}
	a.checks.Reconcile(next.Checks)
	a.forgetRemoved()
	a.arrange()
	a.syncPorts()
	return out, errors.Join(errs...)
}

// keepFixed is next with the values that only a restart can change taken from
// the running config.
func keepFixed(running, next *config.Config) *config.Config {
	c := *next
	c.Node, c.Control, c.HTTP, c.Web, c.XDP, c.Record = running.Node, running.Control, running.HTTP, running.Web, running.XDP, running.Record
	return &c
}

// makeWay takes addresses from the groups that lose them, before another one gets them:
// in the data plane an address of an interface has one owner, and taking it off the host
// later would take it from the new one. A group on its way out whose address another one
// wants has said goodbye, and goes at once.
func (a *Agent) makeWay(next *config.Config, changed []config.GroupChange) {
	type spot struct {
		ifname string
		addr   netip.Addr
	}
	owners := map[spot]uint8{} // the vhid of who has an address then
	for _, cfg := range next.Groups {
		for _, p := range cfg.Addresses {
			owners[spot{cfg.Interface, p.Addr()}] = cfg.VHID
		}
	}
	wanted := func(by *group, addr netip.Addr) bool {
		vhid, owned := owners[spot{by.cfg.Interface, addr}]
		return owned && vhid != by.cfg.VHID
	}
	for _, g := range slices.Clone(a.order) {
		if g.removed && slices.ContainsFunc(addrsOf(g.cfg), func(addr netip.Addr) bool { return wanted(g, addr) }) {
			a.dropGroup(g)
		}
	}
	for _, c := range changed {
		g := a.groups[c.New.Name()]
		gone := slices.DeleteFunc(addrsOf(c.Old), func(addr netip.Addr) bool { return slices.Contains(addrsOf(c.New), addr) })
		a.dropVIPs(g, gone)
		if g.plane != nil && slices.ContainsFunc(gone, func(addr netip.Addr) bool { return wanted(g, addr) }) {
			g.spec.VIPs = slices.DeleteFunc(slices.Clone(g.spec.VIPs), func(addr netip.Addr) bool { return slices.Contains(gone, addr) })
			if err := g.plane.Update(g.spec); err != nil {
				a.log.Error("addresses not taken out of the data plane", "group", g.name, "err", err)
				g.spec = loader.GroupSpec{} // unknown: the next one is written whatever it is
			}
		}
	}
}

// changeGroup puts new values in force without a change of state. The new key
// and address list go to the data plane before the first advert made with them.
func (a *Agent) changeGroup(g *group, cfg config.Group) {
	g.cfg = cfg
	if cfg.Hook != "" {
		a.metrics.PrepareHook(cfg.Interface, cfg.VHID)
	}
	if err := g.setSecrets(cfg); err != nil {
		a.log.Error("password not usable", "group", g.name, "err", err) // checked before
	}
	if g.plane != nil {
		if err := g.plug(a); err != nil {
			a.log.Error("group not updated in the data plane", "group", g.name, "err", err)
		}
	}
	if g.machine.View().State == election.Master {
		a.putVIPs(g, noBudget)
	}
	a.step(g, election.Reconfigure{Config: a.electionConfig(cfg)})
	if g.machine.View().State == election.Master {
		a.announce(g)
	}
}

// forgetRemoved drops the groups that have let go.
func (a *Agent) forgetRemoved() {
	dropped := false
	for _, g := range slices.Clone(a.order) {
		if g.removed && g.machine.View().State == election.Init {
			a.dropGroup(g)
			dropped = true
		}
	}
	if dropped {
		a.publish()
	}
}

func (a *Agent) dropGroup(g *group) {
	g.unplug(a, election.ReasonConfigChanged)
	a.recorder.Forget(g.name)
	delete(a.groups, g.name)
	a.order = slices.DeleteFunc(slices.Clone(a.order), func(other *group) bool { return other == g })
	if g.port.opened {
		delete(a.byPlace, place{g.port.link.Index, g.cfg.VHID})
	}
	a.ledgerStale = a.ledger.remove(api.DemotionSendErrPrefix+g.name) || a.ledgerStale
	a.metrics.ForgetGroup(g.cfg.Interface, g.cfg.VHID)
	for _, other := range a.groups {
		if other.port == g.port {
			return
		}
	}
	g.port.close(a, election.ReasonConfigChanged)
	delete(a.ports, g.port.name)
	if a.ledger.remove(demotionLinkPrefix + g.port.name) {
		a.demote()
	}
}

func groupNames(groups []config.Group) []string {
	out := make([]string, 0, len(groups))
	for _, g := range groups {
		out = append(out, g.Name())
	}
	return out
}

// orEmpty makes an empty list out of none, as the API's JSON has it.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
