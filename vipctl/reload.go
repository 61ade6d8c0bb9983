// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"strings"

	"github.com/urfave/cli/v2"
)

func (p *program) reloadCommand() *cli.Command {
	return &cli.Command{
		Name:      "reload",
		Usage:     "read the configuration again and apply what changed",
		UsageText: "vipctl reload [--force] [-o table|json]",
		Description: example(
			"A configuration with a problem is refused as a whole and nothing changes; groups that did not change are not\n"+
				"touched. A configuration without groups is refused while there are groups, since a file that was emptied by\n"+
				"mistake would release every address; --force applies it.",
			"vipctl reload",
		),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Usage: "apply a configuration without groups, which releases all virtual IPs"},
			tableOrJSON(),
		},
		Action: withArguments(p.reload),
	}
}

func (p *program) reload(c *cli.Context, _ []string) error {
	r, err := p.client(c).Reload(c.Context, c.Bool("force"))
	switch {
	case err != nil:
		return err
	case wantsJSON(c):
		return p.json(r)
	}
	var parts []string
	add := func(what string, list func([]string) string, names []string) {
		if len(names) > 0 {
			parts = append(parts, what+" "+list(names))
		}
	}
	all := func(keys []string) string { return strings.Join(keys, ", ") }
	add("added", someOf, r.Added)
	add("removed", someOf, r.Removed)
	add("changed", someOf, r.Changed)
	add("in force", all, r.Global)
	if parts == nil {
		parts = []string{"nothing changed"}
	}
	p.printf("reloaded: %s\n", strings.Join(parts, "; "))
	if len(r.NeedRestart) > 0 {
		p.printf("takes effect only after a restart of vipd: %s\n", all(r.NeedRestart))
	}
	for _, w := range r.Warnings {
		p.warn("warning: %s", w)
	}
	return nil
}
