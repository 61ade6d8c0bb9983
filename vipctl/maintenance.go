// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"context"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

func (p *program) maintenanceCommand() *cli.Command {
	return &cli.Command{
		Name:      "maintenance",
		Usage:     "enter, leave or show maintenance mode",
		UsageText: "vipctl maintenance enter|leave|status",
		Description: example(
			"In maintenance mode this node advertises the lowest priority (demotion 240): any other node takes over, and\n"+
				"this one keeps the addresses only if there is no other. The mode survives restarts and reboots.",
			"vipctl maintenance enter",
			"vipctl maintenance leave",
		),
		Subcommands: []*cli.Command{
			{
				Name:      "enter",
				Usage:     "ask the other nodes to take over",
				UsageText: "vipctl maintenance enter [--wait [--force]] [-o table|json]",
				Description: example(
					"It first shows which node will take over. The mode is on disk when the command returns. With --wait it returns\n"+
						"once another node is MASTER of every group that was MASTER here; nodes that do not preempt are asked by a\n"+
						"goodbye. A group that no peer takes over stays here, and the exit code is 1.",
					"vipctl maintenance enter",
					"vipctl maintenance enter --wait && reboot",
				),
				Flags: []cli.Flag{
					&cli.BoolFlag{Name: "wait", Usage: "wait until the other nodes have taken over, and show which did"},
					tableOrJSON(),
					&cli.BoolFlag{Name: "force", Usage: "with --wait: release addresses even if no peer takes them over"},
				},
				Action: p.maintenanceEnter,
			},
			{
				Name:        "leave",
				Usage:       "take part as configured again",
				UsageText:   "vipctl maintenance leave [-o table|json]",
				Description: example("This node advertises its configured priority again.", "vipctl maintenance leave"),
				Flags:       []cli.Flag{tableOrJSON()},
				Action: p.change((*api.Client).LeaveMaintenance,
					"maintenance mode left",
					"not in maintenance mode"),
			},
			{
				Name:        "status",
				Usage:       "show whether this node is in maintenance mode",
				UsageText:   "vipctl maintenance status [-o table|json]",
				Description: example("Prints on or off.", "vipctl maintenance status"),
				Flags:       []cli.Flag{tableOrJSON()},
				Action:      withArguments(p.maintenanceStatus),
			},
		},
	}
}

func (p *program) maintenanceEnter(c *cli.Context) error {
	const (
		already = "already in maintenance mode"
		entered = "maintenance mode entered, also after a reboot"
	)
	wait, force := c.Bool("wait"), c.Bool("force")
	switch {
	case force && !wait:
		return usagef("--force without --wait has no effect: nothing is given up then; add --wait, or leave --force out")
	case !wait:
		before := func(c *cli.Context) {
			p.foretell(c, "", false, func(st *api.Status) bool { return st.Maintenance || !st.Enabled })
		}
		return p.changeAfter(before, (*api.Client).EnterMaintenance,
			entered+": the other nodes are asked to take over (`vipctl status` shows it)", already)(c)
	}
	before := func(c *cli.Context) { p.foretell(c, "", true, func(st *api.Status) bool { return !st.Enabled }) }
	return p.changeAfter(before, func(client *api.Client, ctx context.Context) (api.Change, error) {
		return client.EnterMaintenanceAndWait(ctx, force)
	}, entered, already)(c)
}

func (p *program) maintenanceStatus(c *cli.Context, _ []string) error {
	m, err := p.client(c).Maintenance(c.Context)
	switch {
	case err != nil:
		return err
	case wantsJSON(c):
		return p.json(api.Switches{Enabled: m.Enabled, Maintenance: m.Maintenance})
	case m.Maintenance:
		p.printf("maintenance: on, until `vipctl maintenance leave`\n")
	default:
		p.printf("maintenance: off\n")
	}
	if !m.Enabled {
		p.printf("This node is also DISABLED; run `vipctl enable` to end that.\n")
	}
	return nil
}
