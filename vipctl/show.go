// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

func (p *program) showCommand() *cli.Command {
	return &cli.Command{
		Name:         "show",
		Usage:        "show everything about one group",
		UsageText:    "vipctl show [-o table|json] GROUP",
		ArgsUsage:    "GROUP",
		Description:  example("GROUP is written INTERFACE@VHID, as in the status.", "vipctl show eth0@1"),
		Flags:        []cli.Flag{tableOrJSON()},
		BashComplete: p.completeGroups,
		Action:       withArguments(p.show),
	}
}

func (p *program) show(c *cli.Context, args []string) error {
	raw, err := p.client(c).RawGroup(c.Context, args[0])
	if err != nil {
		return p.groupError(c, args[0], err)
	}
	return printAnswer(p, c, raw, "the group", func(g *api.Group) { p.printf("%s", p.groupView(g)) })
}

func (p *program) groupView(g *api.Group) string {
	var t table
	line := func(key, format string, args ...any) { t.add(key, fmt.Sprintf(format, args...)) }
	title := g.Name
	if g.Description != "" {
		title += " (" + g.Description + ")"
	}
	t.add("Group", title)
	t.add("State", p.statusText(g))
	line("Since", "%s (%s), reason %s", p.clock(g.Since, toSeconds), p.ago(g.Since), orDash(g.Reason))
	if g.Detail != "" {
		t.add("Detail", g.Detail)
	}
	t.add("Addresses", orDash(strings.Join(g.Addresses, ", ")))
	t.add("Virtual MAC", g.VirtualMAC)
	effective := ""
	if g.EffectiveAdvSkew != g.AdvSkew {
		effective = fmt.Sprintf(", effective %d/256 s by demotion", g.EffectiveAdvSkew)
	}
	line("Interval", "advbase %d s, advskew %d/256 s%s%s", g.AdvBase, g.AdvSkew, effective, beatText(g.BeatSeconds))
	p.heardLines(&t, g)
	if !g.TakesOverAt.IsZero() {
		line("Takes over", "in %s, unless a master is heard until then", age(g.TakesOverAt.Sub(p.env.Now())))
	}
	p.standbyLines(&t, g)
	if len(g.Peers) > 0 || g.Sends == api.SendsBroadcast {
		t.add("Sends", strings.TrimSpace(g.Sends+" "+strings.Join(g.Peers, ", ")))
	}
	for _, note := range g.SkippedPeers {
		t.add("Note", note)
	}
	t.add("Data plane", dataplaneText(&g.Dataplane))
	line("Answering", "%s, lease %.1f s, generation %d",
		yesNo(g.Dataplane.Answering), g.LeaseRemainingSeconds, g.Generation)
	n := &g.Counters
	line("Advertisements", "%d sent, %d received", n.AdvertisementsSent, n.AdvertisementsReceived)
	if len(g.Contexts) > 1 {
		parts := make([]string, len(g.Contexts))
		for i, c := range g.Contexts {
			parts[i] = fmt.Sprintf("%s %d", c.Name, c.Received)
		}
		t.add("Signed with", strings.Join(parts, ", "))
	}
	if n.LoopsSuspected > 0 {
		line("Loops suspected", "%d advertisements with our counter from another source; FreeBSD, NetBSD and ucarp do that",
			n.LoopsSuspected)
	}
	t.add("Rejected", reasonText(n.AdvertisementsRejected))
	if doctorHint([]api.Group{*g}) != "" {
		t.add("Fault", strings.Join(g.Faults, ", ")+": run `vipctl doctor`")
	}
	for i := range g.AddressConflicts {
		c := &g.AddressConflicts[i]
		line("Address conflict", "%s announced %s %d times, last %s (%s)",
			c.MAC, c.Address, c.Count, p.clock(c.LastSeen, toSeconds), p.ago(c.LastSeen))
	}
	t.add("Dropped frames", reasonText(n.FramesDropped))
	line("Traffic", "%d packets, %d bytes to the virtual MAC", n.Packets, n.Bytes)
	if n.EventsLost > 0 {
		line("Events lost", "%d (replaced by what the kernel saw last)", n.EventsLost)
	}
	for i := range g.VIPs {
		v := &g.VIPs[i]
		if strings.Contains(v.Address, ":") {
			line("ND "+v.Address, "%d solicitations, %d answered", v.NDSolicitations, v.NDAdvertisements)
		} else {
			line("ARP "+v.Address, "%d requests, %d answered", v.ARPRequests, v.ARPReplies)
		}
	}
	if len(g.VIPs) == 0 {
		line("ARP", "%d requests, %d answered", n.ARPRequests, n.ARPReplies)
	}
	return t.String()
}

// heardLines add what was heard of other nodes.
func (p *program) heardLines(t *table, g *api.Group) {
	t.add("Master", masterName(g))
	if m := g.Master; m == nil {
		t.add("Last heard", "never: no other node was heard")
	} else {
		t.add("Last heard", fmt.Sprintf("%s from %s, advbase %d, advskew %d, demote %d%s",
			p.ago(m.LastSeen), m.Address, m.AdvBase, m.AdvSkew, m.Demote, beatText(m.BeatSeconds)))
		if !m.BeatsEndedAt.IsZero() {
			t.add("Beats", fmt.Sprintf("%s states none since %s", m.Address, p.ago(m.BeatsEndedAt)))
		}
	}
	if d := g.BeatDistrust; d != nil {
		t.add("Beats", fmt.Sprintf(
			"waits %.3f s for those of %s, until %s at least, since not all arrived (%d times): run `vipctl doctor`",
			d.WaitSeconds, d.Address, p.clock(d.Until, toSeconds), d.Times))
	}
	for i := range g.Families {
		f := &g.Families[i]
		heard := "heard " + p.ago(f.LastSeen)
		if f.LastSeen.IsZero() {
			heard = "never heard"
		}
		if f.Silent {
			heard += ", silent while the other family is heard"
		}
		t.add(familyText(f.Family), heard)
	}
}

// beatText continues a line with a beat, if there is one.
func beatText(seconds float64) string {
	if seconds == 0 {
		return ""
	}
	return fmt.Sprintf(", beat %s ms", strconv.FormatFloat(math.Round(seconds*1e6)/1000, 'f', -1, 64))
}

func dataplaneText(d *api.Dataplane) string {
	text := "XDP " + d.Mode
	switch d.Mode {
	case "":
		return "not attached"
	case "tc":
		text = "tc ingress"
	}
	if d.Parent != "" {
		text += " on " + d.Parent
	}
	if d.Egress != "" {
		text += ", egress " + d.Egress
	}
	if d.Note != "" {
		text += "; " + d.Note
	}
	if d.ProgramsLost > 0 {
		text += fmt.Sprintf("; programs detached by another process and reattached: %d", d.ProgramsLost)
	}
	if d.TagsLost > 0 {
		text += fmt.Sprintf("; %d frames dropped because their VLAN tags could not be restored", d.TagsLost)
	}
	return text
}

// reasonText lists the reasons with a count above zero.
func reasonText(counts map[string]uint64) string {
	var parts []string
	for _, r := range slices.Sorted(maps.Keys(counts)) {
		if counts[r] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", r, counts[r]))
		}
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}
