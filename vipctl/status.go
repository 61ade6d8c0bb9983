// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

const (
	formatTable = "table"
	formatWide  = "wide"
	formatJSON  = "json"
)

func outputFlag(allowed ...string) *cli.StringFlag {
	return &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: formatTable, Usage: "`FORMAT`: " + strings.Join(allowed, ", ")}
}

func (p *program) statusCommand() *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "show the state of every virtual IP",
		UsageText: "vipctl status [-o table|wide|json] [--watch] [--check]",
		Description: example("One row an address. With --check one line is printed and the exit code is 4 when a group is in INIT, or MASTER without\n"+
			"answering, or the node disabled, in maintenance or demoted.",
			"vipctl status -o wide", "vipctl status --check || page-someone"),
		Flags: []cli.Flag{
			outputFlag(formatTable, formatWide, formatJSON),
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "show again every second, until Ctrl-C, also over a restart of vipd"},
			&cli.BoolFlag{Name: "check", Usage: "exit with 4 when something is not as it should be"},
		},
		Action: p.status,
	}
}

func (p *program) status(c *cli.Context) error {
	if _, err := arguments(c); err != nil {
		return err
	}
	format, err := oneOf(c, "output", formatTable, formatWide, formatJSON)
	if err != nil {
		return err
	}
	switch check, watch := c.Bool("check"), c.Bool("watch"); {
	case check && watch:
		return usagef("--check answers once and --watch does not end; use one of them")
	case check:
		return p.check(c, format)
	case watch:
		return p.watch(c, format)
	}
	frame, _, err := p.statusFrame(c.Context, p.client(c), format)
	if err != nil {
		return err
	}
	p.printf("%s", frame)
	return nil
}

// statusFrame fetches and draws the status once.
func (p *program) statusFrame(ctx context.Context, client *api.Client, format string) (string, *api.Status, error) {
	raw, err := client.RawStatus(ctx)
	if err != nil {
		return "", nil, err
	}
	var st api.Status
	if err := understand(raw, "the status", &st); err != nil {
		return "", nil, err
	}
	sortGroups(st.Groups)
	if format == formatJSON {
		text, err := indent(raw)
		return text, &st, err
	}
	return p.statusView(&st, format == formatWide), &st, nil
}

// check prints one line for a monitor. A format that was asked for is printed as well,
// the line then on stderr.
func (p *program) check(c *cli.Context, format string) error {
	frame, st, err := p.statusFrame(c.Context, p.client(c), format)
	if err != nil {
		return err
	}
	why := degraded(st)
	if c.IsSet("output") {
		p.printf("%s", frame)
		if len(why) == 0 {
			return nil
		}
		return &degradedError{why: strings.Join(why, "; ")}
	}
	if len(why) == 0 {
		p.printf("ok: %s\n", summary(st))
		return nil
	}
	p.printf("degraded: %s\n", strings.Join(why, "; "))
	return &degradedError{why: strings.Join(why, "; "), told: true}
}

// summary counts the groups by state.
func summary(st *api.Status) string {
	var master, backup int
	for i := range st.Groups {
		switch st.Groups[i].State {
		case api.StateMaster:
			master++
		case api.StateBackup:
			backup++
		}
	}
	if len(st.Groups) == 0 {
		return "no virtual IPs are configured"
	}
	return fmt.Sprintf("%d MASTER, %d BACKUP", master, backup)
}
