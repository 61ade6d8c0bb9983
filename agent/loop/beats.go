// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"vipd/agent/election"
)

// nameBeats logs what changes in how the beats of the master count, from one view to the next.
func (g *group) nameBeats(was, now *election.View) {
	log := g.env.log.With("group", g.name)
	switch {
	case now.Distrusted.IsValid() && now.DistrustUntil > was.DistrustUntil:
		log.Warn("beats of a living master were missed, and this node claimed beside it: its ordinary interval counts for a "+
			"while. Look for what limits or delays multicast on the way, or choose a longer beat",
			"master", now.Distrusted, "for", now.DistrustUntil.Sub(g.env.clock.Now()), "in_succession", now.DistrustTimes)
	case was.Distrusted.IsValid() && !now.Distrusted.IsValid():
		log.Info("the beats of the master count again", "master", was.Distrusted)
	}
	if now.BeatsEnded != was.BeatsEnded && now.BeatsEnded != 0 {
		log.Info("the master states no beat any more: its ordinary interval counts", "master", now.Master.Src)
	}
}
