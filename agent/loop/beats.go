// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"context"

	"vipd/agent/election"
)

// nameBeats logs what changes in how beats count, from one view to the next.
func (g *group) nameBeats(was, now *election.View) {
	log := g.env.log.With("group", g.name)
	switch {
	case now.Distrusted.IsValid() && (now.Distrusted != was.Distrusted || now.DistrustTimes > was.DistrustTimes):
		log.Warn("beats of a living master were missed, and this node claimed beside it: it waits longer for a while. Look "+
			"for what limits or delays multicast on the way, or choose a longer beat",
			"master", now.Distrusted, "waits", now.DownTime, "for", now.DistrustUntil.Sub(g.env.clock.Now()),
			"in_succession", now.DistrustTimes)
	case was.Distrusted.IsValid() && !now.Distrusted.IsValid():
		log.Info("beats count as stated again", "master", was.Distrusted)
	}
	if now.BeatsEnded != was.BeatsEnded && now.BeatsEnded != 0 {
		log.Info("the master states no beat any more: its ordinary interval counts", "master", now.Master.Src)
	}
}

// EndBeats has the owners state their ordinary interval, and returns when their leases are as long as that gives, or
// when ctx ends: the next vipd does not start within three beats.
func (l *Loop) EndBeats(ctx context.Context) error {
	var owners []*group
	err := l.do(ctx, func() {
		for _, g := range l.groups.order {
			if g.cfg.Beat > 0 && g.machine.State() == election.Master {
				owners = append(owners, g)
				g.step(election.Reconfigure{Config: g.withoutBeat()})
			}
		}
	})
	if err != nil || owners == nil {
		return err
	}
	return l.Await(ctx, func(c Commands) bool {
		now := c.l.clock.Now()
		for _, g := range owners {
			v := g.machine.View()
			if v.State == election.Master && v.Lease.Sub(now) < g.withoutBeat().Lease()/2 {
				return false
			}
		}
		return true
	})
}

func (g *group) withoutBeat() election.Config {
	c := g.env.electionConfig(g.cfg)
	c.Beat = 0
	return c
}
