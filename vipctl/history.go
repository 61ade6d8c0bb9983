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
		Usage:     "show past transitions and their causes",
		UsageText: "vipctl history [-n N] [-o table|json] [GROUP]",
		ArgsUsage: "[GROUP]",
		Description: example(fmt.Sprintf(
			"The last %d transitions, oldest first, including those of earlier runs of vipd. CAUSE is the advertisement\n"+
				"behind the decision, as sender and advbase/advskew; for address_conflict it is the MAC that another host\n"+
				"announced for an address of the group. LAG is how late the decision was made; a long one means that vipd was\n"+
				"not scheduled in time. HOOK is the result of the group's hook; -o json has its output.", api.MaxHistory),
			"vipctl history",
			"vipctl history -n 20 eth0@1",
		),
		Flags: []cli.Flag{
			tableOrJSON(),
			&cli.IntFlag{Name: "n", Usage: "show only the newest `N`", DefaultText: "all"},
		},
		BashComplete: p.completeGroups,
		Action:       withArguments(p.history),
	}
}

func (p *program) history(c *cli.Context, args []string) error {
	n := c.Int("n")
	if n < 0 || n == 0 && c.IsSet("n") {
		return usagef("-n %d is not allowed; allowed are numbers from 1", n)
	}
	raw, err := p.client(c).RawHistory(c.Context, args[0], n)
	if err != nil {
		return p.groupError(c, args[0], err)
	}
	return printAnswer(p, c, raw, "the history", func(h *api.History) {
		p.printf("%s", p.historyView(h))
		if h.Damaged > 0 {
			p.warn("damaged lines of earlier runs that were skipped: %d", h.Damaged)
		}
		if h.Unsaved != "" {
			p.warn("the history is not on disk and is lost when vipd exits: %s", h.Unsaved)
		}
	})
}

func (p *program) historyView(h *api.History) string {
	if len(h.Transitions) == 0 {
		return "Nothing happened yet.\n"
	}
	hooked := slices.ContainsFunc(h.Transitions, func(e api.Transition) bool { return e.Hook != nil })
	header := []string{"TIME", "GROUP", "FROM", "TO", "REASON", "CAUSE", "LAG"}
	if hooked {
		header = append(header, "HOOK")
	}
	var t table
	t.add(header...)
	for i := range h.Transitions {
		e := &h.Transitions[i]
		row := []string{
			p.clock(e.Time, toMillis), e.Group, e.From, p.paint(stateColour(e.To), e.To),
			e.Reason, entryCause(e), lagText(e.LagSeconds),
		}
		if hooked {
			row = append(row, p.hookText(e.Hook))
		}
		t.add(row...)
	}
	return t.String()
}

// hookText is the result of a hook without its output.
func (p *program) hookText(run *api.HookRun) string {
	switch {
	case run == nil:
		return "-"
	case run.Outcome == api.HookOK:
		return p.paint(green, "ok "+lagText(run.DurationSeconds))
	case run.Outcome == api.HookWaiting, run.Outcome == api.HookSkipped:
		return run.Outcome
	case run.Outcome == api.HookFailed && run.Error != "":
		return p.paint(red, run.Error)
	}
	return p.paint(red, strings.ReplaceAll(run.Outcome, "_", " "))
}

// entryCause is the advertisement, or the host that announced addresses of the group.
func entryCause(e *api.Transition) string {
	c := e.Conflict
	switch {
	case c == nil:
		return causeText(e.Cause)
	case len(c.Addresses) == 1:
		return c.MAC + " " + c.Addresses[0]
	case len(c.Addresses) > 1:
		return fmt.Sprintf("%s %s +%d", c.MAC, c.Addresses[0], len(c.Addresses)-1)
	}
	return c.MAC
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

func (p *program) eventsCommand() *cli.Command {
	return &cli.Command{
		Name:      "events",
		Usage:     "print events as they happen, as JSON lines",
		UsageText: "vipctl events",
		Description: example(
			"One JSON object per line, until Ctrl-C: transitions, address conflicts, and changes of the demotion and of the\n"+
				"operator's switches. The first line marks the start of the stream. A reader that does not keep up is\n"+
				"disconnected; its last line has the event \"dropped\".",
			"vipctl events",
			"vipctl events | jq -r 'select(.event == \"transition\").transition | .group + \" \" + .to'",
		),
		Action: withArguments(p.events),
	}
}

func (p *program) events(c *cli.Context, _ []string) error {
	dropped := false
	err := p.client(c).Events(c.Context, func(line []byte) error {
		p.printf("%s\n", line)
		var ev api.Event
		dropped = json.Unmarshal(line, &ev) == nil && ev.Event == api.EventDropped
		return p.lost
	})
	if dropped {
		return errors.New("vipd dropped this reader, which did not keep up; start it again, " +
			"and run `vipctl history` for what it missed")
	}
	return err
}
