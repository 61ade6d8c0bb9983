// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

func (p *program) versionCommand() *cli.Command {
	return &cli.Command{
		Name:      "version",
		Usage:     "print the vipctl and vipd versions",
		UsageText: "vipctl version [-o table|json]",
		Description: example(
			"Without a running vipd it prints only its own version; the exit code is 0 then, too.",
			"vipctl version",
		),
		Flags:  []cli.Flag{tableOrJSON()},
		Action: withArguments(p.version),
	}
}

// versions is the JSON of the command; Vipd is empty if vipd does not answer.
type versions struct {
	Vipctl string `json:"vipctl"`
	Vipd   string `json:"vipd"`
	Node   string `json:"node"`
}

func (p *program) version(c *cli.Context, _ []string) error {
	st, err := p.client(c).Status(c.Context)
	if wantsJSON(c) {
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
