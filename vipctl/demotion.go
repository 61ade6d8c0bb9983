// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

func (p *program) demotionCommand() *cli.Command {
	cmd := &cli.Command{
		Name:      "demotion",
		Usage:     "list and change what demotes this node",
		UsageText: "vipctl demotion list|add|remove|reset",
		Description: example("The sum of all demotions is added to the advskew of every group, which then lies within 0 and 240: a demoted node\n"+
			"gives way to one that is not. Every contribution has a name, so that each can be taken back alone.",
			"vipctl demotion list", "vipctl demotion add upgrade 100 --for 10m --reason \"router upgrade\"", "vipctl demotion remove upgrade"),
		Subcommands: []*cli.Command{
			{
				Name: "list", Usage: "list the demotions", UsageText: "vipctl demotion list [-o table|json]",
				Description: example("maintenance, link:, check: and senderr: are vipd's own, the others were added by hand.", "vipctl demotion list"),
				Flags:       []cli.Flag{outputFlag(formatTable, formatJSON)},
				Action:      p.demotionList,
			},
			{
				Name: "add", Usage: "add a demotion, or replace the one of that name", UsageText: "vipctl demotion add NAME N [--for 10m] [--reason TEXT] [-o table|json]",
				ArgsUsage: "NAME N",
				Description: example("N is 1..255, or -1..-255 to take back what others add; it stands after -- then. The demotion ends with a restart of\n"+
					"vipd; for what must outlast that use `vipctl maintenance enter`.",
					"vipctl demotion add upgrade 100 --for 10m", "vipctl demotion add insist -- -240"),
				Flags: []cli.Flag{
					outputFlag(formatTable, formatJSON),
					&cli.DurationFlag{Name: "for", Usage: "take it off after `TIME`, such as 10m (default: when it is removed)"},
					&cli.StringFlag{Name: "reason", Usage: "`TEXT` for who asks why"},
				},
				Action: p.demotionAdd,
			},
			{
				Name: "remove", Usage: "take a demotion off", UsageText: "vipctl demotion remove [-o table|json] NAME",
				ArgsUsage:    "NAME",
				Description:  example("Demotions for a lost link or a failing check go with their cause, maintenance by `vipctl maintenance leave`.", "vipctl demotion remove upgrade"),
				Flags:        []cli.Flag{outputFlag(formatTable, formatJSON)},
				BashComplete: p.completeDemotions,
				Action:       p.demotionRemove,
			},
			{
				Name: "reset", Usage: "take off all demotions by hand and for errors", UsageText: "vipctl demotion reset [-o table|json]",
				Description: example("Maintenance mode, lost links and failing checks stay.", "vipctl demotion reset"),
				Flags:       []cli.Flag{outputFlag(formatTable, formatJSON)},
				Action:      p.demotionReset,
			},
		},
	}
	cmd.Action = func(c *cli.Context) error { return unknownCommand(c, cmd.Subcommands, "vipctl demotion") }
	return cmd
}

func (p *program) demotionList(c *cli.Context) error {
	if _, err := arguments(c); err != nil {
		return err
	}
	format, err := oneOf(c, "output", formatTable, formatJSON)
	if err != nil {
		return err
	}
	raw, err := p.client(c).RawDemotions(c.Context)
	if err != nil {
		return err
	}
	if format == formatJSON {
		return p.raw(raw)
	}
	var d api.Demotions
	if err := understand(raw, "the demotions", &d); err != nil {
		return err
	}
	p.printf("%s", p.demotionView(&d))
	return nil
}

func (p *program) demotionView(d *api.Demotions) string {
	if len(d.Demotions) == 0 {
		return "Nothing demotes this node.\n"
	}
	now := p.env.Now()
	var t table
	t.add(plain("NAME"), plain("VALUE"), plain("SINCE"), plain("ENDS"), plain("REASON"))
	for i := range d.Demotions {
		e := &d.Demotions[i]
		t.add(plain(e.Name), plain(strconv.Itoa(e.Value)), plain(stamp(e.Since, now)), plain(demotionEnd(e, now)), plain(orDash(e.Reason)))
	}
	return t.String(p.colour) + fmt.Sprintf("\nDemotion in all: %d.\n", d.Demotion)
}

// demotionEnd is what ends a demotion.
func demotionEnd(d *api.Demotion, now time.Time) string {
	switch {
	case !d.Expires.IsZero():
		return "in " + age(d.Expires.Sub(now))
	case d.OfOperator():
		return "when removed"
	case d.Name == api.MaintenanceDemotion:
		return "by maintenance leave"
	}
	return "with its cause"
}

func (p *program) demotionAdd(c *cli.Context) error {
	args, err := arguments(c, "NAME", "N")
	if err != nil {
		return err
	}
	format, err := oneOf(c, "output", formatTable, formatJSON)
	if err != nil {
		return err
	}
	value, err := strconv.Atoi(args[1])
	if err != nil {
		return usagef("N is %q; it must be a number, 1..%d or, after --, -1..-%d", args[1], api.MaxDemotion, api.MaxDemotion)
	}
	d := api.NewDemotion{Name: args[0], Value: value, Reason: c.String("reason")}
	if last := c.Duration("for"); c.IsSet("for") {
		if last < time.Second || last%time.Second != 0 || last > api.MaxDemotionFor {
			return usagef("--for %v is not allowed; allowed are whole seconds up to %v, such as 10m", last, api.MaxDemotionFor)
		}
		d.For = int(last / time.Second)
	}
	change, err := p.client(c).AddDemotion(c.Context, d)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("demoted by %d (%s)", d.Value, d.Name)
	switch {
	case !change.Changed:
		what = "already " + what
	case d.For > 0:
		what += " for " + c.Duration("for").String()
	}
	return p.demotionDone(format, change, what)
}

func (p *program) demotionRemove(c *cli.Context) error {
	args, err := arguments(c, "NAME")
	if err != nil {
		return err
	}
	format, err := oneOf(c, "output", formatTable, formatJSON)
	if err != nil {
		return err
	}
	change, err := p.client(c).RemoveDemotion(c.Context, args[0])
	if err != nil {
		return err
	}
	if change.Changed {
		return p.demotionDone(format, change, "removed "+args[0])
	}
	return p.demotionDone(format, change, "there is no demotion "+args[0])
}

func (p *program) demotionReset(c *cli.Context) error {
	if _, err := arguments(c); err != nil {
		return err
	}
	format, err := oneOf(c, "output", formatTable, formatJSON)
	if err != nil {
		return err
	}
	change, err := p.client(c).ResetDemotions(c.Context)
	if err != nil {
		return err
	}
	if change.Changed {
		return p.demotionDone(format, change, strings.TrimSpace("removed "+strings.Join(change.Removed, ", ")))
	}
	return p.demotionDone(format, change, "nothing to reset")
}

func (p *program) demotionDone(format string, change api.DemotionChange, what string) error {
	if format == formatJSON {
		return p.json(change)
	}
	p.printf("%s; demotion in all: %d\n", what, change.Demotion)
	if change.Message != "" {
		p.printf("%s\n", change.Message)
	}
	return nil
}

// completeDemotions prints what can be removed, or nothing when vipd does not answer
// at once.
func (p *program) completeDemotions(c *cli.Context) {
	if c.NArg() > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(c.Context, time.Second)
	defer cancel()
	d, err := p.client(c).Demotions(ctx)
	if err != nil {
		return
	}
	for i := range d.Demotions {
		if d.Demotions[i].Resettable() {
			p.printf("%s\n", d.Demotions[i].Name)
		}
	}
}
