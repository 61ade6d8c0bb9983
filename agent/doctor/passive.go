// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"net/netip"
	"time"

	"vipd/agent/control/api"
)

// FromStatus makes facts of a status for [Passive]. What the counters did lately is not
// in a status: whoever remembers an earlier one fills in Rise, RiseTime and Received.
func FromStatus(st *api.Status, at time.Time) *Facts {
	f := &Facts{
		Time: at, Node: st.Node, Enabled: st.Enabled, Maintenance: st.Maintenance, Preempt: st.Preempt,
		Demotions: st.Demotions,
	}
	for i := range st.Groups {
		f.Groups = append(f.Groups, fromGroup(&st.Groups[i]))
	}
	return f
}

func fromGroup(g *api.Group) Group {
	out := Group{
		Name: g.Name, Interface: g.Interface, VHID: uint8(g.VHID),
		State: g.State, Reason: g.Reason, Detail: g.Detail, Since: g.Since,
		Answering: g.Dataplane.Answering, EffectiveAdvSkew: g.EffectiveAdvSkew,
		Interval:     (&Speaker{AdvBase: g.AdvBase, AdvSkew: g.EffectiveAdvSkew}).Interval(),
		Configured:   (&Speaker{AdvBase: g.AdvBase, AdvSkew: g.AdvSkew}).Interval(),
		SilentFamily: g.SilentFamily,
	}
	for _, a := range g.Addresses {
		if p, err := netip.ParsePrefix(a); err == nil {
			out.Addresses = append(out.Addresses, p.Addr())
		}
	}
	if m := g.Master; m != nil {
		addr, _ := netip.ParseAddr(m.Address) // an invalid one is only less to tell
		out.Master = &Speaker{Address: addr, AdvBase: m.AdvBase, AdvSkew: m.AdvSkew, Demote: m.Demote, LastSeen: m.LastSeen}
	}
	return out
}

// Rise is by how much each counter rose. One that fell started anew.
func Rise(now, before map[string]uint64) map[string]uint64 {
	out := make(map[string]uint64, len(now))
	for reason, n := range now {
		out[reason] = RiseOf(n, before[reason])
	}
	return out
}

// RiseOf is [Rise] for one counter.
func RiseOf(now, before uint64) uint64 {
	if now < before {
		return now
	}
	return now - before
}
