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
		p = &port{name: cfg.Interface}
		a.ports[cfg.Interface] = p
	}
	g.port = p
	a.groups[g.name] = g
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
	var errs []error
	for _, cfg := range diff.Added {
		if old := a.groups[cfg.Name()]; old != nil {
			a.dropGroup(old) // still on its way out from an earlier reload
		}
		errs = append(errs, a.addGroup(cfg))
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
	c.Node, c.Control, c.HTTP, c.XDP = running.Node, running.Control, running.HTTP, running.XDP
	return &c
}

// changeGroup puts new values in force without a change of state. The new key
// and address list go to the data plane before the first advert made with them.
func (a *Agent) changeGroup(g *group, cfg config.Group) {
	var gone []netip.Addr
	for addr := range g.onHost {
		if !slices.Contains(addrsOf(cfg), addr) {
			gone = append(gone, addr)
		}
	}
	g.cfg = cfg
	if err := g.setSecrets(cfg); err != nil {
		a.log.Error("password not usable", "group", g.name, "err", err) // checked before
	}
	a.dropVIPs(g, gone)
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
	for _, g := range a.order {
		if g.removed && g.machine.View().State == election.Init {
			a.dropGroup(g)
			dropped = true
		}
	}
	if dropped {
		a.arrange()
		a.publish()
	}
}

func (a *Agent) dropGroup(g *group) {
	g.unplug(a, election.ReasonConfigChanged)
	delete(a.groups, g.name)
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
