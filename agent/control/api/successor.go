// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"fmt"
	"time"
)

// MaintenanceSkew is the effective advskew in maintenance mode.
const MaintenanceSkew = 240

// Fate is what becomes of a group when this node stops being its MASTER.
type Fate int

// Fates of a group.
const (
	FateUnknown Fate = iota // a node that is not vipd may take over
	FateTaken               // a standby takes over
	FateNone                // no node is known to take over
)

// Label is how people recognise the standby: its name, and its priority as it advertises it.
func (s *Standby) Label() string {
	return fmt.Sprintf("%s %d/%d", cmp.Or(s.Node, s.Address), s.AdvBase, s.EffectiveAdvSkew)
}

// Title is the standby with its address.
func (s *Standby) Title() string {
	return fmt.Sprintf("%s (%s, %d/%d)", cmp.Or(s.Node, "a node"), s.Address, s.AdvBase, s.EffectiveAdvSkew)
}

// Successor says who takes the group over when this node stops being its MASTER: with a goodbye, or by its demotion in
// maintenance mode alone. The text completes "eth0@1: ".
func (g *Group) Successor(goodbye bool) (string, Fate) {
	if len(g.Standbys) == 0 {
		if g.StandbysUnknown != "" {
			return "who takes over is unknown, since " + g.StandbysUnknown, FateUnknown
		}
		return "no other node stands by", FateNone
	}
	best := &g.Standbys[0]
	if goodbye {
		return best.Title() + " takes over" + best.drawback(), FateTaken
	}
	ours := interval(g.AdvBase, MaintenanceSkew)
	why := ""
	for i := range g.Standbys {
		s := &g.Standbys[i]
		switch shorter := interval(s.AdvBase, s.EffectiveAdvSkew) < ours; {
		case shorter && s.Preempt:
			return s.Title() + " takes over" + s.drawback(), FateTaken
		case why != "":
		case shorter:
			why = s.Title() + " does not preempt a living master"
		default:
			why = fmt.Sprintf("%s advertises no more often than this node in maintenance mode (%d/%d)",
				s.Title(), g.AdvBase, MaintenanceSkew)
		}
	}
	return why, FateNone
}

// drawback says what is wrong with a standby that takes over nevertheless.
func (s *Standby) drawback() string {
	switch {
	case s.Maintenance:
		return ", although it is in maintenance mode itself"
	case s.Demotion > 0:
		return fmt.Sprintf(", although it is demoted by %d", s.Demotion)
	}
	return ""
}

func interval(base, skew int) time.Duration {
	return time.Duration(base)*time.Second + time.Duration(skew)*time.Second/256
}
