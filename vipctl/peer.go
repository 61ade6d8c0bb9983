// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

func (p *program) peerCommand() *cli.Command {
	return &cli.Command{
		Name:      "peer",
		Usage:     "forget that a peer was a vipd node",
		UsageText: "vipctl peer forget",
		Description: example(
			"vipd appends a trailer to its advertisements, and does not believe an address that has sent one without it.",
			"vipctl peer forget 192.0.2.12",
		),
		Subcommands: []*cli.Command{
			{
				Name:      "forget",
				Usage:     "believe advertisements of an address without a trailer again",
				UsageText: "vipctl peer forget [--group GROUP] [-o table|json] ADDRESS",
				ArgsUsage: "ADDRESS",
				Description: example(
					"Use it after a node was replaced by another implementation of CARP, such as a BSD, at the same address.\n"+
						"Without it, advertisements from ADDRESS are refused as bad_trailer until [carp] peer_memory is over. A vipd\n"+
						"node that still sends from there is remembered again with its next advertisement. The exit code is 1 if\n"+
						"ADDRESS is not remembered. Where the kernel has no room for a vipd node, and thus refuses new sources, it\n"+
						"makes room.",
					"vipctl peer forget 192.0.2.12",
					"vipctl peer forget fe80::12 --group eth0@1",
				),
				Flags: []cli.Flag{
					tableOrJSON(),
					&cli.StringFlag{Name: "group", Usage: "only in `GROUP`, such as eth0@1", DefaultText: "all groups"},
				},
				Action: withArguments(p.peerForget),
			},
		},
	}
}

func (p *program) peerForget(c *cli.Context, args []string) error {
	f := api.ForgetPeer{Address: args[0], Group: c.String("group")}
	if _, err := f.Source(); err != nil {
		return usagef("%v", err)
	}
	done, err := p.client(c).ForgetPeer(c.Context, f)
	switch {
	case err != nil:
		return p.groupError(c, f.Group, err)
	case wantsJSON(c):
		return p.json(done)
	}
	p.printf("forgot %s in %s: its advertisements are believed without a trailer again\n",
		f.Address, someOf(done.Groups))
	if done.Message != "" {
		p.printf("%s\n", done.Message)
	}
	return nil
}
