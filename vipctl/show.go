// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"errors"
	"fmt"
	"maps"
	"slices"
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
		Description:  example("A group is written INTERFACE@VHID, as in the status.", "vipctl show eth0@1"),
		Flags:        []cli.Flag{outputFlag(formatTable, formatJSON)},
		BashComplete: p.completeGroups,
		Action:       p.show,
	}
}

func (p *program) show(c *cli.Context) error {
	args, err := arguments(c, "GROUP")
	if err != nil {
		return err
	}
	format, err := oneOf(c, "output", formatTable, formatJSON)
	if err != nil {
		return err
	}
	raw, err := p.client(c).RawGroup(c.Context, args[0])
	if err != nil {
		var refused *api.Error
		if errors.As(err, &refused) && refused.Code == api.CodeNoSuchGroup {
			return p.noSuchGroup(c, args[0])
		}
		return err
	}
	if format == formatJSON {
		return p.raw(raw)
	}
	var g api.Group
	if err := understand(raw, "the group", &g); err != nil {
		return err
	}
	p.printf("%s", p.groupView(&g))
	return nil
}

// noSuchGroup names the groups that there are.
func (p *program) noSuchGroup(c *cli.Context, name string) error {
	st, err := p.client(c).Status(c.Context)
	if err != nil {
		return err
	}
	if len(st.Groups) == 0 {
		return fmt.Errorf("there is no group %s: no virtual IPs are configured; write a [[vip]] into vipd.toml and run `vipctl reload`", name)
	}
	sortGroups(st.Groups)
	names := make([]string, len(st.Groups))
	for i := range st.Groups {
		names[i] = st.Groups[i].Name
	}
	return fmt.Errorf("there is no group %s; there are %s", name, strings.Join(names, ", "))
}

func (p *program) groupView(g *api.Group) string {
	now := p.env.Now()
	var t table
	line := func(key, value string) { t.add(plain(key), plain(value)) }
	title := g.Name
	if g.Description != "" {
		title += " (" + g.Description + ")"
	}
	line("Group", title)
	t.add(plain("State"), p.statusCell(g))
	line("Since", fmt.Sprintf("%s (%s), reason %s", stamp(g.Since, now), ago(g.Since, now), orDash(g.Reason)))
	if g.Detail != "" {
		line("Detail", g.Detail)
	}
	line("Addresses", orDash(strings.Join(g.Addresses, ", ")))
	line("Virtual MAC", g.VirtualMAC)
	interval := fmt.Sprintf("advbase %d s, advskew %d/256 s", g.AdvBase, g.AdvSkew)
	if g.EffectiveAdvSkew != g.AdvSkew {
		interval += fmt.Sprintf(", effective %d/256 s by demotion", g.EffectiveAdvSkew)
	}
	line("Interval", interval)
	line("Master", masterName(g))
	if m := g.Master; m == nil {
		line("Last heard", "never: no other node was heard")
	} else {
		line("Last heard", fmt.Sprintf("%s from %s, advbase %d, advskew %d, demote %d", ago(m.LastSeen, now), m.Address, m.AdvBase, m.AdvSkew, m.Demote))
	}
	for i := range g.Families {
		f := &g.Families[i]
		heard := "heard " + ago(f.LastSeen, now)
		if f.LastSeen.IsZero() {
			heard = "never heard"
		}
		if f.Silent {
			heard += ", silent while the other family is heard"
		}
		line(familyText(f.Family), heard)
	}
	line("Data plane", dataplaneText(&g.Dataplane))
	line("Answering", yesNo(g.Dataplane.Answering)+fmt.Sprintf(", lease %.1f s, generation %d", g.LeaseRemainingSeconds, g.Generation))
	n := &g.Counters
	line("Advertisements", fmt.Sprintf("%d sent, %d received", n.AdvertisementsSent, n.AdvertisementsReceived))
	if len(g.Contexts) > 1 {
		parts := make([]string, len(g.Contexts))
		for i, c := range g.Contexts {
			parts[i] = fmt.Sprintf("%s %d", c.Name, c.Received)
		}
		line("Signed with", strings.Join(parts, ", "))
	}
	if n.LoopsSuspected > 0 {
		line("Loops suspected", fmt.Sprintf("%d adverts with our counter from another source; FreeBSD, NetBSD and ucarp do that", n.LoopsSuspected))
	}
	line("Rejected", reasonText(n.AdvertisementsRejected))
	if hint := doctorHint([]api.Group{*g}); hint != "" {
		line("Fault", strings.Join(g.Faults, ", ")+": run `vipctl doctor`")
	}
	line("Dropped frames", reasonText(n.FramesDropped))
	line("Traffic", fmt.Sprintf("%d packets, %d bytes to the virtual MAC", n.Packets, n.Bytes))
	if n.EventsLost > 0 {
		line("Events lost", fmt.Sprintf("%d (the kernel's record was used instead)", n.EventsLost))
	}
	for i := range g.VIPs {
		v := &g.VIPs[i]
		if strings.Contains(v.Address, ":") {
			line("ND "+v.Address, fmt.Sprintf("%d solicitations, %d answered", v.NDSolicitations, v.NDAdvertisements))
		} else {
			line("ARP "+v.Address, fmt.Sprintf("%d requests, %d answered", v.ARPRequests, v.ARPReplies))
		}
	}
	if len(g.VIPs) == 0 {
		line("ARP", fmt.Sprintf("%d requests, %d answered", n.ARPRequests, n.ARPReplies))
	}
	return t.String(p.colour)
}

func dataplaneText(d *api.Dataplane) string {
	text := "XDP " + d.Mode
	switch d.Mode {
	case "":
		return "not attached"
	case "tcx", "clsact": // another program has the XDP slot
		text = "tc ingress (" + d.Mode + ")"
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
		text += fmt.Sprintf("; programs taken off by somebody and put back: %d", d.ProgramsLost)
	}
	if d.TagsLost > 0 {
		text += fmt.Sprintf("; %d frames dropped, their tags could not be put back", d.TagsLost)
	}
	return text
}

// reasonText lists the reasons that did count.
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
