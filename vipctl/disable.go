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
		Usage:     "give up all virtual IPs until enable or a reboot",
		UsageText: "vipctl disable [-o table|json]",
		Description: example("Says goodbye to the other nodes, which take over at once, and removes the addresses. A restart of vipd does not end\n"+
			"it, a reboot does. For work that outlasts a reboot use `vipctl maintenance enter`.", "vipctl disable"),
		Flags: []cli.Flag{outputFlag(formatTable, formatJSON)},
		Action: p.verb((*api.Client).Disable,
			"disabled: this node gives up its virtual IPs until `vipctl enable` or a reboot",
			"already disabled"),
	}
}

// verb runs a request that changes something and says what happened.
func (p *program) verb(do func(*api.Client, context.Context) (api.Change, error), done, already string) cli.ActionFunc {
	return func(c *cli.Context) error {
		if _, err := arguments(c); err != nil {
			return err
		}
		format, err := oneOf(c, "output", formatTable, formatJSON)
		if err != nil {
			return err
		}
		change, err := do(p.client(c), c.Context)
		switch {
		case err != nil:
			return err
		case format == formatJSON:
			return p.json(change)
		}
		if change.Changed {
			p.printf("%s\n", done)
		} else {
			p.printf("%s\n", already)
		}
		for i := range change.Handovers {
			p.printf("%s\n", handoverText(&change.Handovers[i]))
		}
		if change.Message != "" {
			p.printf("%s\n", change.Message)
		}
		return nil
	}
}
