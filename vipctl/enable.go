// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

func (p *program) enableCommand() *cli.Command {
	return &cli.Command{
		Name:        "enable",
		Usage:       "end disable",
		UsageText:   "vipctl enable [-o table|json]",
		Description: example("The groups start as BACKUP and take over as their configuration says.", "vipctl enable"),
		Flags:       []cli.Flag{outputFlag(formatTable, formatJSON)},
		Action: p.verb((*api.Client).Enable,
			"enabled: this node takes part again",
			"already enabled"),
	}
}
