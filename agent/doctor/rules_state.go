// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"strings"
	"time"

	"vipd/agent/control/api"
)

// What of the fault is on this host.

func stateRules() []Rule {
	return []Rule{
		{Code: CodeXDPTaken, What: "somebody else's program in the XDP slot", Passive: true, group: xdpTaken},
		{Code: CodeGroupDown, What: "groups that cannot take part", Passive: true, group: groupDown},
		{Code: CodeAllInMaintenance, What: "maintenance mode on all nodes at once", Passive: true, group: allInMaintenance},
		{Code: CodeSendFailing, What: "adverts that cannot be sent", Passive: true, node: sendFailing},
		{Code: CodeStarved, What: "whether vipd is run in time", node: starved},
	}
}

// Reasons of INIT, as the election has them.
const (
	reasonAttachFailed = "attach_failed"
	reasonDisabled     = api.ReasonDisabled
	reasonStop         = "stop"
)

// SlotTaken is what the detail of a group says when its interface's XDP slot is taken.
const SlotTaken = "xdp slot taken"

func xdpTaken(_ *Facts, g *Group) outcome {
	if g.State != api.StateInit || g.Reason != reasonAttachFailed || !strings.Contains(g.Detail, SlotTaken) {
		return outcome{}
	}
	return fault(
		fmt.Sprintf("The XDP slot of %s is taken by another program, so that vipd cannot attach.", g.Interface),
		"`bpftool prog show id ID` says whose it is; stop that, take the program off, or let `mode` in [xdp] be auto, which works beside it. vipd tries again every two seconds.",
		g.Detail)
}

func groupDown(f *Facts, g *Group) outcome {
	if g.State != api.StateInit || xdpTaken(f, g).findings != nil {
		return outcome{}
	}
	switch g.Reason {
	case reasonDisabled:
		return outcome{note: "disabled by the operator"}
	case reasonStop:
		return outcome{note: "vipd is stopping"}
	}
	advice := "Mend that; the group starts by itself then."
	if g.Detail == "" {
		advice = "`vipctl why " + g.Name + "` tells more."
	}
	o := fault(fmt.Sprintf("The group is in INIT (%s): it neither hears nor speaks.", g.Reason), advice)
	if g.Detail != "" {
		o.findings[0].Evidence = []string{g.Detail}
	}
	return o
}

// maintenanceSkew is what a node in maintenance advertises.
const maintenanceSkew = 240

// allInMaintenance cannot see a BACKUP, which is silent; what a peer said last counts,
// for it would have preempted after leaving maintenance.
func allInMaintenance(f *Facts, g *Group) outcome {
	m := g.Master
	if !f.Maintenance || g.State == api.StateInit || m == nil || m.goodbye() || m.AdvSkew < maintenanceSkew {
		return outcome{}
	}
	return warning(
		fmt.Sprintf("This node is in maintenance, and %s advertises as if it were, too: nobody is meant to be MASTER.", m.Address),
		"`vipctl maintenance leave` on the node that is to serve.",
		fmt.Sprintf("%s said advskew %d, %s ago", m.Address, m.AdvSkew, ago(f, m.LastSeen)), fmt.Sprintf("this node advertises %d", g.EffectiveAdvSkew))
}

// sendErrorPrefix is how demotions for failed sends are named, "senderr:GROUP".
const sendErrorPrefix = "senderr:"

func sendFailing(f *Facts) outcome {
	var all outcome
	for _, d := range f.Demotions {
		if group, ok := strings.CutPrefix(d.Name, sendErrorPrefix); ok {
			o := fault(fmt.Sprintf("Adverts of %s cannot be sent.", group),
				"vipd's log says what the kernel answered: a filter or a full queue on the interface, or no address to send from.",
				fmt.Sprintf("the node is demoted by %d (%s) since %s", d.Value, d.Name, d.Since.UTC().Format(time.RFC3339)))
			all.findings = append(all.findings, o.findings...)
		}
	}
	return all
}

// minLate is the least lateness that is worth a word, whatever the interval.
const minLate = 250 * time.Millisecond

func starved(f *Facts) outcome {
	limit := time.Duration(0)
	for i := range f.Groups {
		if d := f.Groups[i].Configured; d > 0 && (limit == 0 || d < limit) {
			limit = d
		}
	}
	limit = max(limit/2, minLate)
	const advice = "Give vipd real-time priority (the unit file does) and this host more processor: on a virtual machine look at its steal time and at snapshots, on any at memory pressure. An address does not move for a short delay, but two of them in a row cost the lease."
	if n := len(f.Expired); n > 0 {
		last := f.Expired[n-1]
		return fault(fmt.Sprintf("vipd was not run in time to renew its lease, and gave %s up.", last.Group), advice,
			fmt.Sprintf("%d times in the last hour, at last at %s", n, last.Time.UTC().Format(time.RFC3339)))
	}
	if f.Lag.Worst < limit {
		return outcome{}
	}
	return warning("vipd is not run in time: it woke up late by more than half the interval between its adverts.", advice,
		fmt.Sprintf("%d wake-ups were late lately, the worst by %s, %s ago", f.Lag.Count, span(f.Lag.Worst), ago(f, f.Lag.At)))
}
