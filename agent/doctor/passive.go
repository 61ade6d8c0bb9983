// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"net/netip"
	"time"

	"vipd/agent/control/api"
)

// FromStatus returns the facts in a status, for [Passive]. A status does not show how counters
// rose: a caller that has an earlier one sets Rise, RiseTime and Received.
func FromStatus(st *api.Status, at time.Time) *Facts {
	f := &Facts{
		Time: at, Node: st.Node, Enabled: st.Enabled, Maintenance: st.Maintenance, Preempt: st.Preempt,
		Demotions: st.Demotions,
	}
	for i := range st.Groups {
		f.Groups = append(f.Groups, FromGroup(&st.Groups[i]))
	}
	return f
}

// FromGroup returns what a status shows of one group.
func FromGroup(g *api.Group) Group {
	out := Group{
		Name: g.Name, Interface: g.Interface, VHID: uint8(g.VHID),
		Condition: Condition{
			State: g.State, Reason: g.Reason, Detail: g.Detail, Since: g.Since,
			Answering: g.Dataplane.Answering, Mode: g.Dataplane.Mode, Note: g.Dataplane.Note,
			EffectiveAdvSkew: g.EffectiveAdvSkew,
			Interval:         (&Speaker{AdvBase: g.AdvBase, AdvSkew: g.EffectiveAdvSkew}).Interval(),
			Configured:       (&Speaker{AdvBase: g.AdvBase, AdvSkew: g.AdvSkew}).Interval(),
			Beat:             time.Duration(g.BeatSeconds * float64(time.Second)),
			Unreachable:      g.Unreachable, SkippedPeers: g.SkippedPeers,
		},
		Hearing: Hearing{
			SilentFamily: g.SilentFamily, BeatDistrust: g.BeatDistrust,
			Standbys: len(g.Standbys), StandbysUnknown: g.StandbysUnknown,
		},
		Host: Host{
			Restored: g.Counters.AddressesRestored, RestoredAt: g.AddressesRestoredAt, LostRoutes: g.LostRoutes,
		},
	}
	for _, a := range g.Addresses {
		if p, err := netip.ParsePrefix(a); err == nil {
			out.Addresses = append(out.Addresses, p.Addr())
		}
	}
	if m := g.Master; m != nil {
		addr, _ := netip.ParseAddr(m.Address) // without it the report only says less
		out.Master = &Speaker{
			Address: addr, AdvBase: m.AdvBase, AdvSkew: m.AdvSkew, Demote: m.Demote, LastSeen: m.LastSeen,
			BeatsEnded: m.BeatsEndedAt,
		}
	}
	for i := range g.AddressConflicts {
		c := &g.AddressConflicts[i]
		addr, _ := netip.ParseAddr(c.Address) // without it the report only says less
		out.Conflicts = append(out.Conflicts, Conflict{
			Address: addr, MAC: c.MAC, Source: c.Source, Count: c.Count, Last: c.LastSeen,
		})
	}
	return out
}

// RiseOf returns by how much a counter rose. One that fell has started anew from 0.
func RiseOf(now, before uint64) uint64 {
	if now < before {
		return now
	}
	return now - before
}
