// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"context"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

func (p *program) maintenanceCommand() *cli.Command {
	cmd := &cli.Command{
		Name:      "maintenance",
		Usage:     "hand over before work on this node, persistently",
		UsageText: "vipctl maintenance enter|leave|status",
		Description: example("In maintenance this node advertises the lowest priority (demotion 240), so that any other takes over, and still holds\n"+
			"the addresses when there is no other. It lasts over restarts and reboots.",
			"vipctl maintenance enter", "vipctl maintenance leave"),
		Subcommands: []*cli.Command{
			{
				Name: "enter", Usage: "ask the other nodes to take over", UsageText: "vipctl maintenance enter [--wait [--force]] [-o table|json]",
				Description: example("The mode is on disk when the command returns. With --wait it returns when another node speaks for every group that was\n"+
					"MASTER here; nodes that do not preempt are asked by a goodbye then. Where nobody takes over the group stays here, and\n"+
					"the exit code is 1.",
					"vipctl maintenance enter", "vipctl maintenance enter --wait && reboot"),
				Flags: []cli.Flag{
					&cli.BoolFlag{Name: "wait", Usage: "wait until the others have taken over, and tell who did"},
					outputFlag(formatTable, formatJSON),
					&cli.BoolFlag{Name: "force", Usage: "with --wait: give up also what nobody takes over"},
				},
				Action: p.maintenanceEnter,
			},
			{
				Name: "leave", Usage: "take part as configured again", UsageText: "vipctl maintenance leave [-o table|json]",
				Description: example("The configured priority is advertised again.", "vipctl maintenance leave"),
				Flags:       []cli.Flag{outputFlag(formatTable, formatJSON)},
				Action: p.verb((*api.Client).LeaveMaintenance,
					"maintenance mode left",
					"not in maintenance mode"),
			},
			{
				Name: "status", Usage: "tell whether this node is in maintenance", UsageText: "vipctl maintenance status [-o table|json]",
				Description: example("Prints on or off.", "vipctl maintenance status"),
				Flags:       []cli.Flag{outputFlag(formatTable, formatJSON)},
				Action:      p.maintenanceStatus,
			},
		},
	}
	cmd.Action = func(c *cli.Context) error { return unknownCommand(c, cmd.Subcommands, "vipctl maintenance") }
	return cmd
}

const (
	maintenanceAlready = "already in maintenance mode"
	maintenanceEntered = "maintenance mode entered, also after a reboot"
)

func (p *program) maintenanceEnter(c *cli.Context) error {
	wait, force := c.Bool("wait"), c.Bool("force")
	switch {
	case force && !wait:
		return usagef("--force without --wait has no effect: nothing is given up then; add --wait, or leave --force out")
	case !wait:
		return p.verb((*api.Client).EnterMaintenance,
			maintenanceEntered+": the other nodes are asked to take over (`vipctl status` shows it)", maintenanceAlready)(c)
	}
	return p.verb(func(client *api.Client, ctx context.Context) (api.Change, error) {
		return client.EnterMaintenanceAndWait(ctx, force)
	}, maintenanceEntered, maintenanceAlready)(c)
}

func (p *program) maintenanceStatus(c *cli.Context) error {
	if _, err := arguments(c); err != nil {
		return err
	}
	format, err := oneOf(c, "output", formatTable, formatJSON)
	if err != nil {
		return err
	}
	m, err := p.client(c).Maintenance(c.Context)
	if err != nil {
		return err
	}
	switch {
	case format == formatJSON:
		return p.json(api.Switches{Enabled: m.Enabled, Maintenance: m.Maintenance})
	case m.Maintenance:
		p.printf("maintenance: on, until `vipctl maintenance leave`\n")
	default:
		p.printf("maintenance: off\n")
	}
	if !m.Enabled {
		p.printf("This node is DISABLED as well: `vipctl enable` ends that.\n")
	}
	return nil
}
