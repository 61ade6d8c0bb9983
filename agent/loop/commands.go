// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"time"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/view"
)

const maintenanceReason = "entered by the operator; `vipctl maintenance leave` ends it"

// Commands are what the operator's commands may do within the loop. They implement operator.Commands and are valid
// while [Loop.Do] runs.
type Commands struct{ l *Loop }

// Stopping reports whether a graceful stop has begun.
func (c Commands) Stopping() bool { return c.l.stopping }

// SetDisabled releases all groups, or starts them again.
func (c Commands) SetDisabled(off bool) (changed bool) { return c.l.setDisabled(off) }

// Released reports whether every group is in INIT, or the node enabled again.
func (c Commands) Released() bool {
	for _, g := range c.l.groups.order {
		if g.machine.State() != election.Init {
			return !c.l.disabled // enabled again meanwhile
		}
	}
	return true
}

// SetMaintenance enters or leaves maintenance mode.
func (c Commands) SetMaintenance(on bool, since time.Time) (changed bool) {
	l := c.l
	if on {
		changed = l.ledger.set(demotionMaintenance, maintenanceValue, maintenanceReason, since)
	} else {
		changed = l.ledger.remove(demotionMaintenance)
	}
	if changed {
		l.log.Info("maintenance mode switched by the operator", "on", on)
		l.demote()
		l.publish()
	}
	return changed
}

// Stay ends the handovers of maintenance mode that still wait for a peer.
func (c Commands) Stay() { c.l.groups.tell(election.Stay{}) }

// HandOver begins the handover of a group; false if there is no such group.
func (c Commands) HandOver(group string, how election.HandOver) (h view.Handover, found bool) {
	g := c.l.groups.byName[group]
	if g == nil || g.lifecycle.removed {
		return h, false
	}
	return g.handOver(how), true
}

// HandOverAll begins that of every group that is MASTER.
func (c Commands) HandOverAll(how election.HandOver) []view.Handover {
	var out []view.Handover
	for _, g := range c.l.groups.order {
		if !g.lifecycle.removed && g.machine.State() == election.Master {
			out = append(out, g.handOver(how))
		}
	}
	return out
}

// AddDemotion adds or replaces a demotion of the operator, up to end if that is not 0.
func (c Commands) AddDemotion(d api.Demotion, end election.Instant) (api.DemotionChange, error) {
	l := c.l
	if _, known := l.ledger.find(d.Name); !known && l.ledger.byOperator() >= api.MaxOperatorDemotions {
		return api.DemotionChange{}, api.Errorf(
			api.CodeBadRequest,
			"there are %d demotions by hand already; `vipctl demotion list` shows them, "+
				"`vipctl demotion remove NAME` removes one",
			api.MaxOperatorDemotions,
		)
	}
	changed := l.ledger.put(d, end)
	l.demoted(changed, "added by the operator", d.Name)
	return api.DemotionChange{Changed: changed, Demotion: l.ledger.total()}, nil
}

// RemoveDemotions removes those that match.
func (c Commands) RemoveDemotions(matches func(api.Demotion) bool) api.DemotionChange {
	l := c.l
	var out api.DemotionChange
	for _, d := range l.ledger.list() {
		if matches(d) {
			l.ledger.remove(d.Name)
			l.forgiveSends(d.Name)
			out.Removed = append(out.Removed, d.Name)
		}
	}
	out.Changed = len(out.Removed) > 0
	l.demoted(out.Changed, "removed by the operator", out.Removed)
	out.Demotion = l.ledger.total()
	return out
}

// SwitchTo applies the difference between the running config and another one.
func (c Commands) SwitchTo(next *config.Config, warnings []config.Problem, force bool) (api.Reload, error) {
	if err := c.l.mayDrop(next, force); err != nil {
		return api.Reload{}, err
	}
	if err := c.l.hasRoom(next); err != nil {
		return api.Reload{}, err
	}
	return c.l.switchTo(next, warnings)
}
