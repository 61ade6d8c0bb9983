// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/netio"
)

// planFlags goes with every plan of a daemon that has no file.
const planFlags = "vipd was started from the command line and cannot reload; this is what a config file of this content would change"

// Plan implements control.Backend. It reads what the loop published and changes
// nothing.
func (b backend) Plan(_ context.Context, file *api.ConfigFile) (api.Plan, error) {
	a := b.a
	next, problems, err := a.planned(file)
	if err != nil {
		return api.Plan{}, notPlanned(err)
	}
	for _, cfg := range next.Groups {
		if err := (&group{}).setSecrets(cfg); err != nil {
			return api.Plan{}, notPlanned(err)
		}
	}
	p := &planner{
		n: a.node.Load(), next: next, now: a.now(), views: map[string]*groupView{},
		link: func(name string) (netio.Link, error) { return a.host.Link(name) },
	}
	for _, g := range p.n.groups {
		p.views[g.name] = g.view.Load()
	}
	out := p.plan()
	out.Warnings = orEmpty(config.Strings(problems))
	if a.opts.Load == nil {
		out.Warnings = append(out.Warnings, planFlags)
	}
	return out, nil
}

func (a *Agent) planned(file *api.ConfigFile) (*config.Config, []config.Problem, error) {
	switch {
	case file != nil:
		return config.Parse(file.Name, file.Text, config.Options{Mode: fs.FileMode(file.Mode).Perm()})
	case a.opts.Load == nil:
		return nil, nil, errReloadFlags
	}
	return a.opts.Load()
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
	n     *nodeView
	next  *config.Config
	now   election.Instant
	views map[string]*groupView
	link  func(name string) (netio.Link, error)
}

func (p *planner) plan() api.Plan {
	diff := config.Diff(p.n.cfg, p.next)
	p.next = keepFixed(p.n.cfg, p.next) // as the reload does
	out := api.Plan{
		Source: p.next.Source, Node: p.n.cfg.Node.Name, Changes: []api.PlanChange{}, Untouched: []string{},
		Global: orEmpty(diff.Global), NeedRestart: orEmpty(diff.NeedRestart),
	}
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
			c.Effects = append(c.Effects, api.PlanEffect{Effect: api.EffectNone, Addresses: []string{}, Text: "no address moves"})
		}
		out.Moves = out.Moves || slices.ContainsFunc(c.Effects, func(e api.PlanEffect) bool { return e.Effect != api.EffectNone })
	}
	return out
}
