// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

func (p *program) whyCommand() *cli.Command {
	return &cli.Command{
		Name:      "why",
		Usage:     "explain the state of a group, and what would change it",
		UsageText: "vipctl why [-o table|json] [GROUP]",
		ArgsUsage: "[GROUP]",
		Description: example(
			"Without GROUP it explains all groups. The comparison is CARP's: after demotion, the node with the shorter\n"+
				"advertisement interval, advbase plus advskew/256 seconds, becomes MASTER.",
			"vipctl why eth0@1",
			"vipctl why",
		),
		Flags:        []cli.Flag{tableOrJSON()},
		BashComplete: p.completeGroups,
		Action:       withArguments(p.why),
	}
}

func (p *program) why(c *cli.Context, args []string) error {
	names := args
	if args[0] == "" {
		st, err := p.client(c).Status(c.Context)
		if err != nil {
			return err
		}
		names = groupNames(&st)
	}
	texts := make([]string, len(names))
	answers := make([]json.RawMessage, len(names))
	for i, name := range names {
		raw, err := p.client(c).RawWhy(c.Context, name)
		if err != nil {
			return p.groupError(c, name, err)
		}
		var w api.Why
		if err := decode(raw, "the answer", &w); err != nil {
			return err
		}
		texts[i], answers[i] = p.whyView(&w), raw
	}
	switch {
	case wantsJSON(c) && args[0] != "":
		return p.raw(answers[0])
	case wantsJSON(c):
		return p.json(answers)
	case len(texts) == 0:
		p.printf("No virtual IPs are configured.\n")
	default:
		p.printf("%s", strings.Join(texts, "\n"))
	}
	return nil
}

func (p *program) whyView(w *api.Why) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is %s (%s) since %s, %s.\n", w.Group, p.paint(stateColour(w.State), w.State), w.Reason,
		p.clock(w.Since, toSeconds), p.ago(w.Since))
	section := func(title string, lines ...string) {
		if len(lines) > 0 {
			fmt.Fprintf(&b, "%s:\n  - %s\n", title, strings.Join(lines, "\n  - "))
		}
	}
	section("Because", w.Because...)
	if w.State != api.StateInit {
		b.WriteString("Comparison:\n" + p.standings(w))
	}
	section("Would change if", w.Changes...)
	if w.Takeover != "" {
		section("On takeover now", w.Takeover)
	}
	return b.String()
}

// standings compares this node with the other one.
func (p *program) standings(w *api.Why) string {
	var t table
	row := func(name string, s *api.Standing, configured, heard string) {
		t.add("", name, fmt.Sprintf("%d/%d", s.AdvBase, s.AdvSkew), configured,
			fmt.Sprintf("%.3f s", s.IntervalSeconds), strconv.Itoa(s.Demote), heard)
	}
	t.add("", "NODE", "BASE/SKEW", "CONFIGURED", "INTERVAL", "DEMOTE", "HEARD")
	configured := "-"
	if s := w.Ours.ConfiguredAdvSkew; s != nil {
		configured = fmt.Sprintf("%d/%d", w.Ours.AdvBase, *s)
	}
	row("this node", &w.Ours, configured, "-")
	if w.Theirs != nil {
		row(w.Theirs.Address, w.Theirs, "-", p.ago(w.Theirs.LastSeen))
	}
	text := t.String() +
		fmt.Sprintf("  preempt %s, master-down interval %s", yesNo(w.Preempt), downText(w.MasterDownSeconds))
	if w.Waiting != "" && w.Waiting != "nothing" {
		text += fmt.Sprintf(", next: %s in %.1f s", w.Waiting, w.WaitingSeconds)
	}
	return text + "\n"
}

// downText formats a master-down interval: one of beats is too short for three decimals.
func downText(seconds float64) string {
	if seconds < 0.1 {
		return fmt.Sprintf("%.4f s", seconds)
	}
	return fmt.Sprintf("%.3f s", seconds)
}
