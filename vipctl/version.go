// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

func (p *program) versionCommand() *cli.Command {
	return &cli.Command{
		Name:        "version",
		Usage:       "print the versions of vipctl and of the running vipd",
		UsageText:   "vipctl version [-o table|json]",
		Description: example("Without a running vipd only its own version is printed, which is no failure.", "vipctl version"),
		Flags:       []cli.Flag{outputFlag(formatTable, formatJSON)},
		Action:      p.version,
	}
}

// versions is the JSON of the command; vipd is empty when it does not answer.
type versions struct {
	Vipctl string `json:"vipctl"`
	Vipd   string `json:"vipd"`
	Node   string `json:"node"`
}

func (p *program) version(c *cli.Context) error {
	if _, err := arguments(c); err != nil {
		return err
	}
	format, err := oneOf(c, "output", formatTable, formatJSON)
	if err != nil {
		return err
	}
	st, err := p.client(c).Status(c.Context)
	if format == formatJSON {
		return p.json(versions{Vipctl: api.Version, Vipd: st.Version, Node: st.Node})
	}
	p.printf("vipctl %s\n", api.ReadBuild())
	if err != nil {
		p.warn("%v", err)
		return nil
	}
	p.printf("vipd %s (node %s)\n", st.Version, st.Node)
	if st.Version != api.Version {
		p.warn("the versions differ: restart vipd, or upgrade the older one")
	}
	return nil
}
