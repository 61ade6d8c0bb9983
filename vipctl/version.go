// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

func (p *program) versionCommand() *cli.Command {
	return &cli.Command{
		Name:      "version",
		Usage:     "print the versions of vipctl and of the running vipd",
		UsageText: "vipctl version [-o table|json]",
		Description: example(
			"For each, shows the version, the commit with its time, and the Go version. Without a running vipd it prints "+
				"only its own version; the exit code is 0 then, too.",
			"vipctl version",
		),
		Flags:  []cli.Flag{tableOrJSON()},
		Action: withArguments(p.version),
	}
}

// versions is the JSON of the command; what is of vipd is empty if vipd does not answer.
type versions struct {
	Vipctl string `json:"vipctl"`
	Vipd   string `json:"vipd"`
	Node   string `json:"node"`
	Builds struct {
		Vipctl api.Build `json:"vipctl"`
		Vipd   api.Build `json:"vipd,omitzero"`
	} `json:"builds"`
}

func (p *program) version(c *cli.Context, _ []string) error {
	st, err := p.client(c).Status(c.Context)
	own := api.ReadBuild()
	if wantsJSON(c) {
		v := versions{Vipctl: own.Version, Vipd: st.Version, Node: st.Node}
		v.Builds.Vipctl, v.Builds.Vipd = own, st.Build
		return p.json(v)
	}
	p.printf("vipctl %s\n", own)
	if err != nil {
		p.warn("%v", err)
		return nil
	}
	running := st.Build
	running.Version = st.Version
	p.printf("vipd %s on %s\n", running, st.Node)
	switch {
	case running.Version != own.Version:
		p.warn("the versions differ: restart vipd, or upgrade the older one")
	case running.Commit != own.Commit:
		p.warn("the builds differ: vipctl restart starts the vipd that is installed")
	}
	return nil
}
