// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"fmt"
	"strings"
	"time"

	"vipd/agent/control/api"
)

// statusView draws the table and, below it, what is unusual and what to do about it.
func (p *program) statusView(st *api.Status, wide bool) string {
	text := ""
	if len(st.Groups) == 0 {
		text = fmt.Sprintf("No virtual IPs are configured on %s. Add a [[vip]] to vipd.toml "+
			"(packaging/vipd.toml shows every key) and run `vipctl reload`.\n", orDash(st.Node))
	} else {
		text = p.statusTable(st, wide)
	}
	if notes := p.notes(st, wide); len(notes) > 0 {
		text += "\n" + strings.Join(notes, "\n") + "\n"
	}
	return text
}

// statusTable leaves out how long ago the masters were heard if the lines would wrap.
func (p *program) statusTable(st *api.Status, wide bool) string {
	t := p.statusRows(st, wide, (*program).masterHeard)
	if p.tty && !wide && t.width() > p.columns() {
		t = p.statusRows(st, wide, func(_ *program, g *api.Group) string { return masterName(g) })
	}
	return t.String()
}

func (p *program) statusRows(st *api.Status, wide bool, master func(*program, *api.Group) string) *table {
	t := &table{}
	header := []string{"INTERFACE", "VIRTUAL IP", "STATUS"}
	switch {
	case wide:
		header = append(header, "SINCE", "BASE/SKEW", "MASTER", "LAST HEARD", "ANSWERING", "STANDBY", "MODE", "DESCRIPTION")
	case p.tty: // scripts have wide and json
		header = append(header, "BASE/SKEW", "MASTER", "STANDBY")
	default:
		header = append(header, "STANDBY")
	}
	t.add(header...)
	for i := range st.Groups {
		g := &st.Groups[i]
		addresses := g.Addresses
		if len(addresses) == 0 {
			addresses = []string{"-"}
		}
		for _, a := range addresses {
			row := []string{g.Name, a, p.statusText(g)}
			switch {
			case wide:
				row = append(row, p.clock(g.Since, toSeconds), skew(g), masterName(g), p.lastHeard(g),
					yesNo(g.Dataplane.Answering), p.standby(g, wide), orDash(g.Dataplane.Mode), g.Description)
			case p.tty:
				row = append(row, skew(g), master(p, g), p.standby(g, wide))
			default:
				row = append(row, p.standby(g, wide))
			}
			t.add(row...)
		}
	}
	return t
}

// lastHeard is the time of the last advertisement of another node.
func (p *program) lastHeard(g *api.Group) string {
	if g.Master == nil {
		return "never"
	}
	s := p.ago(g.Master.LastSeen)
	if g.State != api.StateBackup {
		s += " (" + g.Master.Address + ")"
	}
	return s
}

// masterHeard is the owner, and when it was last heard if it is another node.
func (p *program) masterHeard(g *api.Group) string {
	name := masterName(g)
	if g.State == api.StateBackup && g.Master != nil {
		name += ", " + p.ago(g.Master.LastSeen)
	}
	return name
}

// notes are the sentences below the table.
func (p *program) notes(st *api.Status, wide bool) []string {
	var out []string
	note := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if !st.Enabled {
		note("%s: it holds no virtual IP until `vipctl enable` or a reboot.", p.paint(red, "This node is DISABLED"))
	}
	if st.Maintenance {
		note("%s: it asks the other nodes to take over, also after a reboot, until `vipctl maintenance leave`.",
			p.paint(yellow, "This node is in MAINTENANCE"))
		if still := mastersOf(st); len(still) > 0 && st.Enabled {
			note("  Still MASTER here: %s.", someOf(still))
		}
	}
	now := p.env.Now()
	for _, d := range st.Demotions {
		if d.Name == api.MaintenanceDemotion {
			continue
		}
		left := ""
		if !d.Expires.IsZero() {
			left = ", " + age(d.Expires.Sub(now)) + " left"
		}
		note("Demoted by %d for %s%s (%s): %s", d.Value, age(now.Sub(d.Since)), left, d.Name, orDash(d.Reason))
	}
	if len(st.Demotions) > 1 {
		note("Total demotion: %d.", st.Demotion)
	}
	for i := range st.Groups {
		g := &st.Groups[i]
		if g.Detail != "" && (st.Enabled || g.Reason != api.ReasonDisabled) {
			note("%s: %s", g.Name, g.Detail)
		}
		left := age(g.HoldUntil.Sub(now))
		switch g.Hold { // an operator waits for these; the others are the operator's own or a fault
		case api.HoldChecks:
			note("%s: does not preempt until every health check has a result, for at most %s.", g.Name, left)
		case api.HoldClaimDelay:
			note("%s: makes no claim for %s ([carp] claim_delay), unless an owner heard since the link came up "+
				"leaves or dies.", g.Name, left)
		}
		if g.SilentFamily != "" {
			note("%s: the master is not heard over %s, only over the other family: check for a packet filter or switch "+
				"that drops its advertisements.", g.Name, familyText(g.SilentFamily))
		}
	}
	out = append(out, waitingNotes(st.Groups, now)...)
	out = append(out, p.standbyNotes(st.Groups, wide)...)
	if hint := doctorHint(st.Groups); hint != "" {
		note("%s", hint)
	}
	for i := range st.Groups {
		if g := &st.Groups[i]; g.Dataplane.AnswersUnseen {
			note("%s: a client keeps asking for an address as if our answers did not reach it: run `vipctl doctor`.", g.Name)
		}
	}
	for _, w := range st.Warnings {
		note("Warning: %s", w)
	}
	if st.Version != "" && st.Version != api.Version {
		note("The versions differ: vipd %s, vipctl %s; restart the one that was upgraded.", st.Version, api.Version)
	}
	return out
}

// waitingNotes are the sentences on groups that hear no master and will take over.
func waitingNotes(groups []api.Group, now time.Time) []string {
	var s sentences
	for i := range groups {
		if g := &groups[i]; !g.TakesOverAt.IsZero() {
			// Whole seconds: groups that were started together share a line.
			left := max(g.TakesOverAt.Sub(now), 0).Truncate(time.Second) + time.Second
			s.add(g.Name, fmt.Sprintf("no master is heard; this node takes over within %v unless one is heard until then", left))
		}
	}
	return s.lines()
}

// mastersOf lists the groups that are still MASTER here, with the cause if it is known.
func mastersOf(st *api.Status) []string {
	var out []string
	for i := range st.Groups {
		g := &st.Groups[i]
		if g.State != api.StateMaster {
			continue
		}
		if g.Master == nil {
			out = append(out, g.Name+" (no other node was heard)")
		} else {
			out = append(out, g.Name)
		}
	}
	return out
}

// doctorHint names the faults that the counters show. A group in INIT shows its own reason.
func doctorHint(groups []api.Group) string {
	var parts []string
	for i := range groups {
		if g := &groups[i]; len(g.Faults) > 0 && g.State != api.StateInit {
			parts = append(parts, g.Name+" ("+strings.Join(g.Faults, ", ")+")")
		}
	}
	if parts == nil {
		return ""
	}
	return "Something is wrong with " + someOf(parts) + ": run `vipctl doctor`."
}
