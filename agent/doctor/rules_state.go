// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"strings"
	"time"

	"vipd/agent/control/api"
)

// Faults of this node.

func stateRules() []Rule {
	return []Rule{
		{
			Code:    CodeXDPTaken,
			OK:      "no other program in the XDP slot keeps a group in INIT",
			Found:   "another program is in the XDP slot",
			Passive: true,
			group:   xdpTaken,
		},
		{
			Code:    CodeGroupDown,
			OK:      "no group is kept in INIT by a fault",
			Found:   "a group is kept in INIT by a fault",
			Passive: true,
			group:   groupDown,
		},
		{
			Code:    CodeAllInMaintenance,
			OK:      "not all nodes are in maintenance mode",
			Found:   "all nodes are in maintenance mode",
			Passive: true,
			group:   allInMaintenance,
		},
		{
			Code:    CodeNoOwner,
			OK:      "every group has an owner",
			Found:   "no node is heard to own a group",
			Passive: true,
			group:   noOwner,
		},
		{
			Code:    CodeSendFailing,
			OK:      "adverts can be sent",
			Found:   "adverts cannot be sent",
			Passive: true,
			node:    sendFailing,
		},
		{
			Code:  CodeStarved,
			OK:    "vipd is scheduled in time",
			Found: "vipd is not scheduled in time",
			node:  starved,
		},
		{
			Code:  CodeNoRealTime,
			OK:    "no group needs a real-time priority that vipd does not have",
			Found: "a group needs a real-time priority that vipd does not have",
			node:  noRealTime,
		},
		{
			Code:  CodeCommands,
			OK:    "the commands of checks and hooks can be run safely",
			Found: "commands of checks or hooks cannot be run safely",
			node:  commands,
		},
	}
}

// Reasons of the election.
const (
	reasonAttachFailed = "attach_failed"
	reasonDisabled     = api.ReasonDisabled
	reasonStop         = "stop"
	reasonSendFailed   = "send_failed"
)

func xdpTaken(_ *Facts, g *Group) outcome {
	if g.State != api.StateInit || g.Reason != reasonAttachFailed || !g.SlotTaken {
		return outcome{}
	}
	return fault(
		fmt.Sprintf("The XDP slot of %s is taken by another program, so vipd cannot attach.", g.Interface),
		"`bpftool prog show id ID` shows its owner; stop that, detach the program, or set `mode` in [xdp] to auto, which "+
			"works beside it. vipd tries again every two seconds.",
		g.Detail)
}

func groupDown(f *Facts, g *Group) outcome {
	if g.State != api.StateInit || xdpTaken(f, g).findings != nil || g.Reason == reasonOwnAddress {
		return outcome{}
	}
	switch g.Reason {
	case reasonDisabled:
		return outcome{note: "disabled by the operator"}
	case reasonStop:
		return outcome{note: "vipd is stopping"}
	}
	advice := "Fix that; the group then starts automatically."
	if g.Detail == "" {
		advice = "`vipctl why " + g.Name + "` shows more."
	}
	o := fault(fmt.Sprintf("The group is in INIT (%s): it neither hears nor speaks.", g.Reason), advice)
	if g.Detail != "" {
		o.findings[0].Evidence = []string{g.Detail}
	}
	return o
}

// allInMaintenance uses what the peers report, else the last advert of the peer, as a BACKUP is silent: after leaving
// maintenance it would have preempted.
func allInMaintenance(f *Facts, g *Group) outcome {
	if o := reportedDifference(f, g, api.DiffersMaintenance); o.findings != nil {
		return o
	}
	m := g.Master
	if !f.Maintenance || g.State == api.StateInit || m == nil || m.goodbye() || m.AdvSkew < api.MaintenanceSkew {
		return outcome{}
	}
	return warning(
		fmt.Sprintf("This node is in maintenance, and %s advertises as if it were, too: no node is meant to be MASTER.",
			m.Address),
		"Run `vipctl maintenance leave` on the node that is to serve.",
		fmt.Sprintf("%s advertised advskew %d, %s ago", m.Address, m.AdvSkew, ago(f, m.LastSeen)),
		fmt.Sprintf("this node advertises %d", g.EffectiveAdvSkew))
}

// noOwner finds a BACKUP that hears no other node and does not take over, or has failed to.
func noOwner(f *Facts, g *Group) outcome {
	if g.State != api.StateBackup || heardLately(f, g) {
		return outcome{}
	}
	if g.Reason != reasonSendFailed && f.Time.Sub(g.Since) < 6*g.Configured+settle {
		return outcome{} // it waits, as every BACKUP does
	}
	cause := "No owner is heard, and this node has not taken over."
	if g.Reason == reasonSendFailed {
		cause = "No owner is heard, and the claim of this node failed."
	}
	evidence := []string{lastWord(f, g)}
	if g.Reason == reasonSendFailed && g.Note != "" {
		evidence = append(evidence, "data plane: "+g.Note)
	}
	return fault(cause,
		"`vipctl why "+g.Name+"` and the log show what prevents this node from it; run `vipctl doctor` on the other "+
			"nodes, too.",
		evidence...)
}

// sendErrorPrefix begins the names of demotions for failed sends, "senderr:GROUP".
const sendErrorPrefix = "senderr:"

func sendFailing(f *Facts) outcome {
	var all outcome
	for _, d := range f.Demotions {
		if group, ok := strings.CutPrefix(d.Name, sendErrorPrefix); ok {
			evidence := []string{
				fmt.Sprintf("the node is demoted by %d (%s) since %s", d.Value, d.Name, d.Since.UTC().Format(time.RFC3339)),
			}
			if d.Reason != "" {
				evidence = append(evidence, d.Reason)
			}
			o := fault(fmt.Sprintf("Adverts of %s cannot be sent.", group),
				"vipd's log has the kernel's error: a filter or a full queue on the interface, or no source address.", evidence...)
			all.findings = append(all.findings, o.findings...)
		}
	}
	return all
}

// minLate is the least lateness that is reported, whatever the interval.
const minLate = 250 * time.Millisecond

func starved(f *Facts) outcome {
	limit := time.Duration(0)
	for i := range f.Groups {
		if d := f.Groups[i].Configured; d > 0 && (limit == 0 || d < limit) {
			limit = d
		}
	}
	limit = max(limit/2, minLate)
	const advice = "Give vipd real-time priority (the unit file does) and this host more processor time: check steal " +
		"time and snapshots on a virtual machine, and memory pressure on any. A short delay moves no address, but two of " +
		"them in a row cost the lease."
	if n := len(f.Expired); n > 0 {
		last := f.Expired[n-1]
		return fault(fmt.Sprintf("vipd was not scheduled in time to renew its lease, and gave %s up.", last.Group), advice,
			fmt.Sprintf("%d times in the last hour, the last time at %s", n, last.Time.UTC().Format(time.RFC3339)))
	}
	if f.Lag.Worst < limit {
		return outcome{}
	}
	return warning(
		"vipd is not scheduled in time: it woke up late by more than half the interval between its adverts.",
		advice,
		fmt.Sprintf("%d recent wake-ups were late, the worst by %s, %s ago",
			f.Lag.Count, span(f.Lag.Worst), ago(f, f.Lag.At)))
}

// shortInterval is the longest that ordinary scheduling may miss three times in a row on a busy machine.
const shortInterval = 100 * time.Millisecond

func noRealTime(f *Facts) outcome {
	if f.RealTime || f.Watched == 0 {
		return outcome{}
	}
	var short []string
	for i := range f.Groups {
		g := &f.Groups[i]
		if g.Beat > 0 {
			short = append(short, fmt.Sprintf("%s has a beat of %s", g.Name, g.Beat))
		} else if g.Configured > 0 && g.Configured < shortInterval {
			short = append(short, fmt.Sprintf("%s has an interval of %s", g.Name, span(g.Configured)))
		}
	}
	if short == nil {
		return outcome{}
	}
	return warning("vipd runs without real-time priority, and a group with so short an interval needs it.",
		"Start vipd by its unit file, or set CPUSchedulingPolicy=rr and CPUSchedulingPriority=55 where it is started. "+
			"Otherwise other programs on this host delay its adverts, and it loses its lease.",
		short...)
}

// commands matter because a check that fails on all nodes alike demotes them alike: no node takes over.
func commands(f *Facts) outcome {
	if len(f.Commands) == 0 {
		return outcome{}
	}
	return warning(
		"Commands of checks or hooks cannot be run, are not safe to run, or run where they may fail.",
		"Fix what the evidence names; `vipctl check run NAME` then shows the result of a check. docs/hooks.md explains "+
			"where commands run.",
		f.Commands...)
}
