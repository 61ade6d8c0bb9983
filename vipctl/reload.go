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
		UsageText: "vipctl reload [-o table|json]",
		Description: example("A configuration with a problem is refused as a whole and nothing changes; groups that did not change are not touched.",
			"vipctl reload"),
		Flags:  []cli.Flag{outputFlag(formatTable, formatJSON)},
		Action: p.reload,
	}
}

func (p *program) reload(c *cli.Context) error {
	if _, err := arguments(c); err != nil {
		return err
	}
	format, err := oneOf(c, "output", formatTable, formatJSON)
	if err != nil {
		return err
	}
	r, err := p.client(c).Reload(c.Context)
	if err != nil {
		return err
	}
	if format == formatJSON {
		return p.json(r)
	}
	var parts []string
	for _, list := range []struct {
		what  string
		names []string
	}{{"added ", r.Added}, {"removed ", r.Removed}, {"changed ", r.Changed}, {"in force ", r.Global}} {
		if len(list.names) > 0 {
			parts = append(parts, list.what+strings.Join(list.names, ", "))
		}
	}
	if parts == nil {
		parts = []string{"nothing changed"}
	}
	p.printf("reloaded: %s\n", strings.Join(parts, "; "))
	if len(r.NeedRestart) > 0 {
		p.printf("only a restart of vipd puts in force: %s\n", strings.Join(r.NeedRestart, ", "))
	}
	for _, w := range r.Warnings {
		p.warn("warning: %s", w)
	}
	return nil
}
