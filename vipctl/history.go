// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

func (p *program) historyCommand() *cli.Command {
	return &cli.Command{
		Name:      "history",
		Usage:     "show past transitions and why they came",
		UsageText: "vipctl history [-n N] [-o table|json] [GROUP]",
		ArgsUsage: "[GROUP]",
		Description: example(fmt.Sprintf("The last %d transitions, oldest first, also of earlier runs of vipd. CAUSE is the advert that made this node decide:\n"+
			"its sender with advbase/advskew. LAG is how late the decision came; a long one means that vipd was not run in time.\n"+
			"HOOK is what came of the group's hook, if it has one; -o json has its output.", api.MaxHistory),
			"vipctl history", "vipctl history -n 20 eth0@1"),
		Flags: []cli.Flag{
			outputFlag(formatTable, formatJSON),
			&cli.IntFlag{Name: "n", Usage: "only the newest `N`", DefaultText: "all"},
		},
		BashComplete: p.completeGroups,
		Action:       p.history,
	}
}

func (p *program) history(c *cli.Context) error {
	group, err := optional(c, "GROUP")
	if err != nil {
		return err
	}
	format, err := oneOf(c, "output", formatTable, formatJSON)
	if err != nil {
		return err
	}
	n := c.Int("n")
	if n < 0 || n == 0 && c.IsSet("n") {
		return usagef("-n %d is not allowed; allowed are numbers from 1", n)
	}
	raw, err := p.client(c).RawHistory(c.Context, group, n)
	if err != nil {
		if e, ok := errors.AsType[*api.Error](err); ok && e.Code == api.CodeNoSuchGroup {
			return p.noSuchGroup(c, group)
		}
		return err
	}
	if format == formatJSON {
		return p.raw(raw)
	}
	var h api.History
	if err := understand(raw, "the history", &h); err != nil {
		return err
	}
	p.printf("%s", p.historyView(&h))
	if h.Damaged > 0 {
		p.warn("%d damaged lines of earlier runs were skipped", h.Damaged)
	}
	if h.Unsaved != "" {
		p.warn("the history is not on disk and would be lost with vipd: %s", h.Unsaved)
	}
	return nil
}

func (p *program) historyView(h *api.History) string {
	if len(h.Transitions) == 0 {
		return "Nothing happened yet.\n"
	}
	now := p.env.Now()
	var t table
	hooked := slices.ContainsFunc(h.Transitions, func(e api.Transition) bool { return e.Hook != nil })
	header := make([]cell, 0, 8)
	for _, s := range []string{"TIME", "GROUP", "FROM", "TO", "REASON", "CAUSE", "LAG"} {
		header = append(header, plain(s))
	}
	if hooked {
		header = append(header, plain("HOOK"))
	}
	t.add(header...)
	for i := range h.Transitions {
		e := &h.Transitions[i]
		row := []cell{
			plain(e.Time.In(now.Location()).Format("2006-01-02 15:04:05.000")), plain(e.Group), plain(e.From),
			{text: e.To, colour: stateColour(e.To)},
			plain(e.Reason), plain(causeText(e.Cause)), plain(lagText(e.LagSeconds)),
		}
		if hooked {
			row = append(row, hookCell(e.Hook))
		}
		t.add(row...)
	}
	return t.String(p.colour)
}

// hookCell is how the hook was told, in few words; -o json has its output.
func hookCell(run *api.HookRun) cell {
	switch {
	case run == nil:
		return plain("-")
	case run.Outcome == api.HookOK:
		return cell{"ok " + lagText(run.DurationSeconds), green}
	case run.Outcome == api.HookWaiting, run.Outcome == api.HookSkipped:
		return plain(run.Outcome)
	case run.Outcome == api.HookFailed && run.Error != "":
		return cell{run.Error, red}
	}
	return cell{strings.ReplaceAll(run.Outcome, "_", " "), red}
}

func stateColour(state string) string {
	switch state {
	case api.StateMaster:
		return green
	case api.StateBackup:
		return yellow
	}
	return red
}

func causeText(c *api.Cause) string {
	switch {
	case c == nil:
		return "-"
	case c.Demote > 0:
		return fmt.Sprintf("%s %d/%d demote %d", c.Address, c.AdvBase, c.AdvSkew, c.Demote)
	}
	return fmt.Sprintf("%s %d/%d", c.Address, c.AdvBase, c.AdvSkew)
}

// lagText is a short time; most lags are far below a millisecond.
func lagText(seconds float64) string {
	switch {
	case seconds == 0: // nothing was due
		return "-"
	case seconds < 0.01:
		return fmt.Sprintf("%.1f ms", seconds*1000)
	default:
		return span(seconds)
	}
}

func (p *program) eventsCommand() *cli.Command {
	return &cli.Command{
		Name:      "events",
		Usage:     "print what happens as it happens, as JSON lines",
		UsageText: "vipctl events",
		Description: example("One JSON object a line, until Ctrl-C: transitions, changes of the demotion, and the operator's switches. The first line is\n"+
			"the beginning of the stream. A reader that does not keep up gets a last line with the event \"dropped\".",
			"vipctl events", "vipctl events | jq -r 'select(.event == \"transition\").transition | .group + \" \" + .to'"),
		Action: p.events,
	}
}

func (p *program) events(c *cli.Context) error {
	if _, err := arguments(c); err != nil {
		return err
	}
	dropped := false
	err := p.client(c).Events(c.Context, func(line []byte) error {
		p.printf("%s\n", line)
		var ev api.Event
		dropped = json.Unmarshal(line, &ev) == nil && ev.Event == api.EventDropped
		return p.lost
	})
	if dropped {
		return errors.New("vipd dropped this reader, which did not keep up; start it again, and look at `vipctl history` for what it missed")
	}
	return err
}
