// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

func (p *program) statusCommand() *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "show the state of every virtual IP",
		UsageText: "vipctl status [-o table|wide|json] [--watch] [--check]",
		Description: example(
			"One row per address. With --check it prints one line, and the exit code is 4 if a group is in INIT, or MASTER\n"+
				"without answering, or if the node is disabled, in maintenance mode or demoted.",
			"vipctl status -o wide",
			"vipctl status --check || page-someone",
		),
		Flags: []cli.Flag{
			outputFlag(formatTable, formatWide, formatJSON),
			&cli.BoolFlag{
				Name:    "watch",
				Aliases: []string{"w"},
				Usage:   "refresh every second until Ctrl-C; survives a restart of vipd",
			},
			&cli.BoolFlag{Name: "check", Usage: "exit with 4 if something is degraded"},
		},
		Action: withArguments(p.status),
	}
}

func (p *program) status(c *cli.Context, _ []string) error {
	format := c.String("output")
	switch check, watch := c.Bool("check"), c.Bool("watch"); {
	case check && watch:
		return usagef("--check answers once and --watch does not end; use one of them")
	case check:
		return p.check(c, format)
	case watch:
		return p.watch(c, format)
	}
	frame, _, err := p.statusFrame(c.Context, p.client(c), format)
	p.printf("%s", frame)
	return err
}

// statusFrame fetches and draws the status once.
func (p *program) statusFrame(ctx context.Context, client *api.Client, format string) (string, *api.Status, error) {
	raw, err := client.RawStatus(ctx)
	if err != nil {
		return "", nil, err
	}
	var st api.Status
	if err := decode(raw, "the status", &st); err != nil {
		return "", nil, err
	}
	sortGroups(st.Groups)
	if format == formatJSON {
		text, err := indent(raw)
		return text, &st, err
	}
	return p.statusView(&st, format == formatWide), &st, nil
}

// check prints one line for a monitor. With -o it prints the status, and the line on stderr.
func (p *program) check(c *cli.Context, format string) error {
	frame, st, err := p.statusFrame(c.Context, p.client(c), format)
	if err != nil {
		return err
	}
	why := strings.Join(degraded(st), "; ")
	told := !c.IsSet("output")
	switch {
	case !told:
		p.printf("%s", frame)
	case why == "":
		p.printf("ok: %s\n", summary(st))
	default:
		p.printf("degraded: %s\n", why)
	}
	if why == "" {
		return nil
	}
	return &degradedError{why: why, told: told}
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

// faultNoOwner is the doctor's code of this fault.
const faultNoOwner = "no_owner"

// degraded lists the reasons for a monitor to alert.
func degraded(st *api.Status) []string {
	var why []string
	if !st.Enabled {
		why = append(why, "this node is disabled")
	}
	if st.Maintenance {
		why = append(why, "this node is in maintenance")
	}
	for _, d := range st.Demotions {
		if d.Name != api.MaintenanceDemotion && d.Value > 0 && st.Demotion > 0 {
			why = append(why, fmt.Sprintf("this node is demoted by %d (%s)", d.Value, d.Name))
		}
	}
	if len(st.Demotions) == 0 && st.Demotion > 0 {
		why = append(why, fmt.Sprintf("this node is demoted by %d", st.Demotion))
	}
	for i := range st.Groups {
		g := &st.Groups[i]
		bad := g.State != api.StateBackup && (g.State != api.StateMaster || !g.Dataplane.Answering)
		if bad && (st.Enabled || g.Reason != api.ReasonDisabled) {
			word, _ := statusWord(g)
			why = append(why, g.Name+" is "+word)
		}
		if len(g.Unreachable) > 0 {
			why = append(why, g.Name+" is not advertised everywhere: "+strings.Join(g.Unreachable, "; "))
		}
		if slices.Contains(g.Faults, faultNoOwner) {
			why = append(why, g.Name+": no owner is heard")
		}
	}
	return why
}
