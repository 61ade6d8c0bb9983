// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

func (p *program) yieldCommand() *cli.Command {
	return &cli.Command{
		Name:      "yield",
		Usage:     "hand one group over to another node",
		UsageText: "vipctl yield [--force] [-o table|json] GROUP",
		ArgsUsage: "GROUP",
		Description: example("Returns when the other node speaks; until then this one answers. When nobody takes over nothing is given up, and the\n"+
			"exit code is 1. Afterwards this node does not take the group back by preemption for 10 minutes, or until that node is\n"+
			"silent. For all groups, and over a reboot, use `vipctl maintenance enter --wait`.",
			"vipctl yield eth0@1"),
		Flags:        []cli.Flag{outputFlag(formatTable, formatJSON), &cli.BoolFlag{Name: "force", Usage: "give it up even if nobody takes over"}},
		BashComplete: p.completeGroups,
		Action:       p.yield,
	}
}

func (p *program) yield(c *cli.Context) error {
	args, err := arguments(c, "GROUP")
	if err != nil {
		return err
	}
	format, err := oneOf(c, "output", formatTable, formatJSON)
	if err != nil {
		return err
	}
	h, err := p.client(c).Yield(c.Context, args[0], c.Bool("force"))
	if err != nil {
		if e, ok := errors.AsType[*api.Error](err); ok && e.Code == api.CodeNoSuchGroup {
			return p.noSuchGroup(c, args[0])
		}
		return err
	}
	if format == formatJSON {
		return p.json(h)
	}
	p.printf("%s\n", handoverText(&h))
	return nil
}

// handoverText is how a handover ended, in a line.
func handoverText(h *api.Handover) string {
	switch h.Outcome {
	case api.OutcomeHandedOver:
		who := h.Successor
		if who == "" {
			who = "another node"
		}
		text := fmt.Sprintf("%s: %s took over after %s, ", h.Group, who, span(h.TookSeconds))
		if h.Goodbye {
			text += "asked by a goodbye, "
		}
		if h.GapSeconds > 0 {
			return text + "and nobody spoke for it for " + span(h.GapSeconds)
		}
		return text + "without a gap: this node answered until its first advert"
	case api.OutcomeNotTaken:
		return fmt.Sprintf("%s: nobody took over within %s, MASTER here still", h.Group, span(h.TookSeconds))
	case api.OutcomeGivenUp:
		return fmt.Sprintf("%s: given up after %s without a successor: nobody speaks for it now, and this node takes it again if nobody does", h.Group, span(h.TookSeconds))
	case api.OutcomeNotMaster:
		return fmt.Sprintf("%s: nothing to hand over, it is %s here", h.Group, stateText(h))
	}
	return strings.TrimSpace(h.Group + ": " + h.Outcome)
}

func stateText(h *api.Handover) string {
	if h.State == api.StateInit {
		return h.State + " (" + h.Reason + ")"
	}
	return h.State
}

// span is a time in milliseconds while that says more.
func span(seconds float64) string {
	if seconds < 1 {
		return fmt.Sprintf("%.0f ms", seconds*1000)
	}
	return fmt.Sprintf("%.1f s", seconds)
}
