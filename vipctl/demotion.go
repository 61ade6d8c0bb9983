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
	return &cli.Command{
		Name:      "demotion",
		Usage:     "list, add and remove demotions of this node",
		UsageText: "vipctl demotion list|add|remove|reset",
		Description: example(
			"The sum of all demotions is added to the advskew of every group, within 0 and 240: a demoted node gives way to\n"+
				"one that is not demoted. Every demotion has a name, so that each can be removed alone.",
			"vipctl demotion list",
			"vipctl demotion add upgrade 100 --for 10m --reason \"router upgrade\"",
			"vipctl demotion remove upgrade",
		),
		Subcommands: []*cli.Command{
			{
				Name:      "list",
				Usage:     "list the demotions",
				UsageText: "vipctl demotion list [-o table|json]",
				Description: example(
					"maintenance, link:, check: and senderr: are vipd's own; the others were added by hand.",
					"vipctl demotion list",
				),
				Flags:  []cli.Flag{tableOrJSON()},
				Action: withArguments(p.demotionList),
			},
			{
				Name:      "add",
				Usage:     "add or replace a named demotion",
				UsageText: "vipctl demotion add NAME N [--for 10m] [--reason TEXT] [-o table|json]",
				ArgsUsage: "NAME N",
				Description: example(
					"N is 1..255, or -1..-255 after -- to offset other demotions. The demotion survives a restart of vipd and ends\n"+
						"with a reboot; to outlast a reboot use `vipctl maintenance enter`.",
					"vipctl demotion add upgrade 100 --for 10m",
					"vipctl demotion add insist -- -240",
				),
				Flags: []cli.Flag{
					tableOrJSON(),
					&cli.DurationFlag{Name: "for", Usage: "remove it after `TIME`, such as 10m", DefaultText: "never"},
					&cli.StringFlag{Name: "reason", Usage: "`TEXT` to show in status as the reason"},
				},
				Action: withArguments(p.demotionAdd),
			},
			{
				Name:      "remove",
				Usage:     "remove a demotion",
				UsageText: "vipctl demotion remove [-o table|json] NAME",
				ArgsUsage: "NAME",
				Description: example(
					"Demotions for a lost link or a failing check end with their cause, maintenance with `vipctl maintenance leave`.",
					"vipctl demotion remove upgrade",
				),
				Flags: []cli.Flag{tableOrJSON()},
				BashComplete: p.completeNames(func(ctx context.Context, client *api.Client) (names []string) {
					d, _ := client.Demotions(ctx)
					for i := range d.Demotions {
						if d.Demotions[i].Resettable() {
							names = append(names, d.Demotions[i].Name)
						}
					}
					return names
				}),
				Action: withArguments(p.demotionRemove),
			},
			{
				Name:        "reset",
				Usage:       "remove all demotions added by hand or for send errors",
				UsageText:   "vipctl demotion reset [-o table|json]",
				Description: example("Maintenance mode, lost links and failing checks stay.", "vipctl demotion reset"),
				Flags:       []cli.Flag{tableOrJSON()},
				Action:      withArguments(p.demotionReset),
			},
		},
	}
}

func (p *program) demotionList(c *cli.Context, _ []string) error {
	raw, err := p.client(c).RawDemotions(c.Context)
	if err != nil {
		return err
	}
	return printAnswer(p, c, raw, "the demotions", func(d *api.Demotions) {
		if len(d.Demotions) == 0 {
			p.printf("Nothing demotes this node.\n")
			return
		}
		var t table
		t.add("NAME", "VALUE", "SINCE", "ENDS", "REASON")
		for i := range d.Demotions {
			e := &d.Demotions[i]
			t.add(e.Name, strconv.Itoa(e.Value), p.clock(e.Since, toSeconds), p.demotionEnd(e), orDash(e.Reason))
		}
		p.printf("%s\nTotal demotion: %d.\n", &t, d.Demotion)
	})
}

func (p *program) demotionEnd(d *api.Demotion) string {
	switch {
	case !d.Expires.IsZero():
		return "in " + age(d.Expires.Sub(p.env.Now()))
	case d.OfOperator():
		return "when removed"
	case d.Name == api.MaintenanceDemotion:
		return "by maintenance leave"
	}
	return "with its cause"
}

func (p *program) demotionAdd(c *cli.Context, args []string) error {
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
	what := fmt.Sprintf("demoted by %d (%s)", d.Value, d.Name)
	switch {
	case !change.Changed:
		what = "already " + what
	case d.For > 0:
		what += " for " + c.Duration("for").String()
	}
	return p.demotionDone(c, change, err, what)
}

func (p *program) demotionRemove(c *cli.Context, args []string) error {
	change, err := p.client(c).RemoveDemotion(c.Context, args[0])
	what := "removed " + args[0]
	if !change.Changed {
		what = "there is no demotion " + args[0]
	}
	return p.demotionDone(c, change, err, what)
}

func (p *program) demotionReset(c *cli.Context, _ []string) error {
	change, err := p.client(c).ResetDemotions(c.Context)
	what := "nothing to reset"
	if change.Changed {
		what = strings.TrimSpace("removed " + strings.Join(change.Removed, ", "))
	}
	return p.demotionDone(c, change, err, what)
}

func (p *program) demotionDone(c *cli.Context, change api.DemotionChange, err error, what string) error {
	switch {
	case err != nil:
		return err
	case wantsJSON(c):
		return p.json(change)
	}
	p.printf("%s; total demotion: %d\n", what, change.Demotion)
	if change.Message != "" {
		p.printf("%s\n", change.Message)
	}
	return nil
}
