// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/hostcheck"
	"vipd/agent/netio"
	"vipd/agent/view"
)

// planFlags is part of every plan of a daemon without a config file.
const planFlags = "vipd was started from the command line and cannot reload; " +
	"this is what a config file of this content would change"

// Plan implements control.Backend. It reads what the loop published and changes
// nothing.
func (o *Operator) Plan(_ context.Context, file *api.ConfigFile) (api.Plan, error) {
	next, problems, err := o.planned(file)
	if err != nil {
		return api.Plan{}, notPlanned(err)
	}
	n := o.loop.View()
	if need, room := n.Config.DuringReload(next), o.opts.Plane.Room(); !need.Within(room) {
		return api.Plan{}, view.NoRoom(next.Source, need, room)
	}
	p := &planner{
		n: n, next: next, now: o.clock.Now(), views: map[string]*view.Group{},
		link:     o.opts.Host.Link,
		ordinary: o.ordinaryNow(),
	}
	for _, g := range p.n.Groups {
		p.views[g.Name()] = g.Now()
	}
	out := p.plan()
	out.Warnings = append(config.Strings(problems), o.CompareHost(next)...)
	if o.opts.Source.Load == nil {
		out.Warnings = append(out.Warnings, planFlags)
	}
	return out, nil
}

func (o *Operator) planned(file *api.ConfigFile) (*config.Config, []config.Problem, error) {
	switch {
	case file != nil:
		return o.opts.Source.Parse(file)
	case o.opts.Source.Load == nil:
		return nil, nil, ErrNoFile
	}
	return o.opts.Source.Load()
}

// ordinaryNow reads the addresses of this host for a plan.
func (o *Operator) ordinaryNow() func(on netio.Link, vips []netip.Prefix) []hostcheck.Ordinary {
	all, err := o.opts.Host.AllAddresses()
	if err != nil {
		o.log.Warn("cannot compare the config with this host", "err", err)
	}
	table := hostcheck.NewTable(all)
	return func(on netio.Link, vips []netip.Prefix) []hostcheck.Ordinary {
		return table.Ordinary(on, vips, o.opts.Host.LinkAt)
	}
}

// notPlanned lists the problems of a config the way clients print them.
func notPlanned(err error) error {
	if own, ok := errors.AsType[*api.Error](err); ok {
		return own
	}
	bad, ok := errors.AsType[*config.Error](err)
	if !ok {
		return api.Errorf(api.CodeInvalidConfig, "a reload would refuse this config: %v", err)
	}
	out := api.Errorf(api.CodeInvalidConfig, "a reload would refuse this config and change nothing:")
	out.Problems = bad.Strings()
	return out
}

// planner works out what a reload from one config to another does at one moment.
type planner struct {
	n     *view.Node
	next  *config.Config
	now   election.Instant
	views map[string]*view.Group
	// demotion is that of the node after the reload.
	demotion int
	link     func(name string) (netio.Link, error)
	// ordinary are the addresses of a group that the host has as ordinary ones.
	ordinary func(on netio.Link, vips []netip.Prefix) []hostcheck.Ordinary
}

func (p *planner) plan() api.Plan {
	diff := config.Diff(p.n.Config, p.next)
	p.next = p.n.Config.AfterReload(p.next) // as the reload does
	p.demotion = p.demotionAfter()
	out := api.Plan{
		Source: p.next.Source, Node: p.n.Config.Node.Name, Changes: []api.PlanChange{}, Untouched: []string{},
		Global: append([]string{}, diff.Global...), NeedRestart: append([]string{}, diff.NeedRestart...),
	}
	out.NeedsForce = p.n.Config.EmptiedBy(p.next)
	for _, cfg := range diff.Removed {
		out.Changes = append(out.Changes, p.remove(cfg, diff.Added))
	}
	told := map[string]bool{}
	for _, c := range diff.Changed {
		out.Changes = append(out.Changes, p.modify(c))
		told[c.New.Name()] = true
	}
	for _, cfg := range diff.Added {
		told[cfg.Name()] = true
	}
	for _, cfg := range p.next.Groups {
		name := cfg.Name()
		if told[name] {
			continue
		}
		if c, reached := p.reach(cfg, diff.Global); reached {
			out.Changes = append(out.Changes, c)
		} else {
			out.Untouched = append(out.Untouched, name)
		}
	}
	for _, cfg := range diff.Added {
		out.Changes = append(out.Changes, p.add(cfg))
	}
	for i := range out.Changes {
		c := &out.Changes[i]
		if len(c.Effects) == 0 {
			c.Effects = append(
				c.Effects,
				api.PlanEffect{Effect: api.EffectNone, Addresses: []string{}, Text: "no address moves"},
			)
		}
		out.Moves = out.Moves ||
			slices.ContainsFunc(c.Effects, func(e api.PlanEffect) bool { return e.Effect != api.EffectNone })
	}
	return out
}
