// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"context"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

func (p *program) disableCommand() *cli.Command {
	return &cli.Command{
		Name:      "disable",
		Usage:     "release all virtual IPs until enable or a reboot",
		UsageText: "vipctl disable [-o table|json]",
		Description: example(
			"Shows which node will take over, sends a goodbye, so that it does so at once, and removes the addresses. It\n"+
				"survives a restart of vipd but not a reboot; for work that includes a reboot use `vipctl maintenance enter`.",
			"vipctl disable",
		),
		Flags: []cli.Flag{tableOrJSON()},
		Action: p.changeAfter(
			func(c *cli.Context) { p.foretell(c, "", true, func(st *api.Status) bool { return !st.Enabled }) },
			(*api.Client).Disable,
			"disabled: this node gives up its virtual IPs until `vipctl enable` or a reboot",
			"already disabled"),
	}
}

func (p *program) enableCommand() *cli.Command {
	return &cli.Command{
		Name:        "enable",
		Usage:       "re-enable CARP on this node",
		UsageText:   "vipctl enable [-o table|json]",
		Description: example("The groups start as BACKUP and take over as configured.", "vipctl enable"),
		Flags:       []cli.Flag{tableOrJSON()},
		Action: p.change((*api.Client).Enable,
			"enabled: this node takes part again",
			"already enabled"),
	}
}

// change runs a request that changes a switch and prints the result.
func (p *program) change(
	do func(*api.Client, context.Context) (api.Change, error),
	done, already string,
) cli.ActionFunc {
	return p.changeAfter(func(*cli.Context) {}, do, done, already)
}

// changeAfter is change, and runs before when the command line is known to be right.
func (p *program) changeAfter(
	before func(*cli.Context),
	do func(*api.Client, context.Context) (api.Change, error),
	done, already string,
) cli.ActionFunc {
	return withArguments(func(c *cli.Context, _ []string) error {
		before(c)
		change, err := do(p.client(c), c.Context)
		switch {
		case err != nil:
			return err
		case wantsJSON(c):
			return p.json(change)
		case change.Changed:
			p.printf("%s\n", done)
		default:
			p.printf("%s\n", already)
		}
		for i := range change.Handovers {
			p.printf("%s\n", handoverText(&change.Handovers[i]))
		}
		if change.Message != "" {
			p.printf("%s\n", change.Message)
		}
		return nil
	})
}
