// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"slices"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/view"
)

// errNoGroups answers a reload that would give every address up: more likely than that an
// operator wants it, the file was emptied or cut off.
func errNoGroups(running int, source string) error {
	return api.Errorf(
		api.CodeNoGroups,
		"%s has no [[vip]], and a reload would give up all groups (%d); the running config stays. "+
			"If that is what you want: `vipctl reload --force`",
		source,
		running,
	)
}

// mayDrop refuses a config without groups while there are some, unless it is forced.
func (l *Loop) mayDrop(next *config.Config, force bool) error {
	if l.cfg.EmptiedBy(next) && !force {
		return errNoGroups(len(l.cfg.Groups), next.Source)
	}
	return nil
}

// hasRoom refuses a config that the tables of the data plane cannot hold: they got their size at the start.
func (l *Loop) hasRoom(next *config.Config) error {
	need, room := l.cfg.DuringReload(next), l.plane.Room()
	if need.Within(room) {
		return nil
	}
	return view.NoRoom(next.Source, need, room)
}

// switchTo moves from the running config to next. Groups that did not change are not touched: no timer,
// counter or lease of theirs moves.
func (l *Loop) switchTo(next *config.Config, warnings []config.Problem) (api.Reload, error) {
	if l.stopping {
		return api.Reload{}, view.ErrStopping
	}
	diff := config.Diff(l.cfg, next)
	// Everything that can fail comes before anything that has an effect.
	for i := range next.Groups {
		if err := checkSecrets(&next.Groups[i]); err != nil {
			return api.Reload{}, err
		}
	}
	out := api.Reload{
		Added: groupNames(diff.Added), Removed: groupNames(diff.Removed), Changed: []string{},
		Global: append([]string{}, diff.Global...), NeedRestart: append([]string{}, diff.NeedRestart...),
		Warnings: config.Strings(warnings),
	}
	for _, c := range diff.Changed {
		out.Changed = append(out.Changed, c.New.Name())
	}
	l.cfg = l.cfg.AfterReload(next)
	// First: a group that is new or better now must not preempt before a check that is new has a verdict.
	l.checks.Reconcile(next.Checks)
	l.syncChecks()
	for _, cfg := range diff.Removed {
		g := l.groups.byName[cfg.Name()]
		g.lifecycle.removed = true
		g.step(election.Release{Reason: election.ReasonConfigChanged})
	}
	var errs []error
	for _, cfg := range diff.Added {
		if old := l.groups.byName[cfg.Name()]; old != nil {
			l.dropGroup(old) // still on its way out from an earlier reload
		}
		errs = append(errs, l.addGroup(&cfg))
	}
	l.makeWay(next, diff.Changed)
	for _, c := range diff.Changed {
		cfg := c.New
		l.groups.byName[cfg.Name()].change(&cfg)
	}
	if len(diff.Global) > 0 {
		for _, g := range l.groups.order {
			if !g.lifecycle.removed && !slices.Contains(out.Changed, g.name) {
				g.step(election.Reconfigure{Config: l.electionConfig(g.cfg)})
			}
		}
	}
	l.forgetRemoved()
	l.groups.arrange(l.cfg.Groups)
	l.limitRounds()
	l.syncInterfaces()
	return out, errors.Join(errs...)
}

func groupNames(groups []config.Group) []string {
	out := make([]string, 0, len(groups))
	for _, g := range groups {
		out = append(out, g.Name())
	}
	return out
}
