// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

func (p *program) whyCommand() *cli.Command {
	return &cli.Command{
		Name:      "why",
		Usage:     "tell why a group is in its state, and what would change it",
		UsageText: "vipctl why [-o table|json] [GROUP]",
		ArgsUsage: "[GROUP]",
		Description: example("Without GROUP it tells of all. The comparison is that of CARP: the shorter advertisement interval, advbase plus\n"+
			"advskew/256 seconds, is MASTER, after the demotion of each node.",
			"vipctl why eth0@1", "vipctl why"),
		Flags:        []cli.Flag{outputFlag(formatTable, formatJSON)},
		BashComplete: p.completeGroups,
		Action:       p.why,
	}
}

func (p *program) why(c *cli.Context) error {
	group, err := optional(c, "GROUP")
	if err != nil {
		return err
	}
	format, err := oneOf(c, "output", formatTable, formatJSON)
	if err != nil {
		return err
	}
	names := []string{group}
	if group == "" {
		st, err := p.client(c).Status(c.Context)
		if err != nil {
			return err
		}
		sortGroups(st.Groups)
		names = names[:0]
		for i := range st.Groups {
			names = append(names, st.Groups[i].Name)
		}
	}
	var texts []string
	var list [][]byte
	for _, name := range names {
		raw, err := p.client(c).RawWhy(c.Context, name)
		if err != nil {
			if e, ok := errors.AsType[*api.Error](err); ok && e.Code == api.CodeNoSuchGroup {
				return p.noSuchGroup(c, name)
			}
			return err
		}
		var w api.Why
		if err := understand(raw, "the answer", &w); err != nil {
			return err
		}
		list, texts = append(list, raw), append(texts, p.whyView(&w))
	}
	switch {
	case format == formatTable && len(texts) == 0:
		p.printf("No virtual IPs are configured.\n")
	case format == formatTable:
		p.printf("%s", strings.Join(texts, "\n"))
	default:
		all := bytes.Join(list, []byte(","))
		if group == "" {
			all = append(append([]byte("["), all...), ']')
		}
		text, err := indent(all)
		if err != nil {
			return err
		}
		p.printf("%s", text)
	}
	return nil
}

func (p *program) whyView(w *api.Why) string {
	now := p.env.Now()
	var b strings.Builder
	state := cell{w.State, stateColour(w.State)}
	fmt.Fprintf(&b, "%s is %s (%s) since %s, %s.\n", w.Group, paint(state, p.colour), w.Reason, stamp(w.Since, now), ago(w.Since, now))
	section := func(title string, lines []string) {
		if len(lines) == 0 {
			return
		}
		fmt.Fprintf(&b, "%s:\n", title)
		for _, l := range lines {
			fmt.Fprintf(&b, "  - %s\n", l)
		}
	}
	section("Because", w.Because)
	if w.State != api.StateInit {
		fmt.Fprintf(&b, "Compared:\n%s", p.standings(w))
	}
	section("Would change", w.Changes)
	if w.Takeover != "" {
		section("On takeover now", []string{w.Takeover})
	}
	return b.String()
}

// standings is the table of the two that are compared.
func (p *program) standings(w *api.Why) string {
	now := p.env.Now()
	var t table
	row := func(name string, s *api.Standing, configured, heard string) {
		t.add(plain(""), plain(name), plain(fmt.Sprintf("%d/%d", s.AdvBase, s.AdvSkew)), plain(configured),
			plain(fmt.Sprintf("%.3f s", s.IntervalSeconds)), plain(fmt.Sprint(s.Demote)), plain(heard))
	}
	t.add(plain(""), plain("NODE"), plain("BASE/SKEW"), plain("CONFIGURED"), plain("INTERVAL"), plain("DEMOTE"), plain("HEARD"))
	configured := "-"
	if s := w.Ours.ConfiguredAdvSkew; s != nil {
		configured = fmt.Sprintf("%d/%d", w.Ours.AdvBase, *s)
	}
	row("this node", &w.Ours, configured, "-")
	if w.Theirs != nil {
		row(w.Theirs.Address, w.Theirs, "-", ago(w.Theirs.LastSeen, now))
	}
	text := t.String(p.colour) + fmt.Sprintf("  preempt %s, master-down time %.3f s", yesNo(w.Preempt), w.MasterDownSeconds)
	if w.Waiting != "" && w.Waiting != "nothing" {
		text += fmt.Sprintf(", next: %s in %.1f s", w.Waiting, w.WaitingSeconds)
	}
	return text + "\n"
}
