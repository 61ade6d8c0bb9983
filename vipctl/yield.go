// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"cmp"
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
		Description: example(
			"Shows which node will take over, and returns once that one is MASTER; this node answers until then. If no peer\n"+
				"takes over, the group stays here and the exit code is 1. Afterwards this node does not take the group back by\n"+
				"preemption for 10 minutes, or until the other node falls silent. For all groups, or across a reboot, use\n"+
				"`vipctl maintenance enter --wait`.",
			"vipctl yield eth0@1",
		),
		Flags: []cli.Flag{
			tableOrJSON(),
			&cli.BoolFlag{Name: "force", Usage: "release the addresses even if no peer takes them over"},
		},
		BashComplete: p.completeGroups,
		Action:       withArguments(p.yield),
	}
}

func (p *program) yield(c *cli.Context, args []string) error {
	p.foretell(c, args[0], true, func(st *api.Status) bool { return !st.Enabled })
	h, err := p.client(c).Yield(c.Context, args[0], c.Bool("force"))
	switch {
	case err != nil:
		return p.groupError(c, args[0], err)
	case wantsJSON(c):
		return p.json(h)
	}
	p.printf("%s\n", handoverText(&h))
	return nil
}

// handoverText describes the result of a handover in one line.
func handoverText(h *api.Handover) string {
	took := span(h.TookSeconds)
	switch h.Outcome {
	case api.OutcomeHandedOver:
		text := fmt.Sprintf("%s: %s took over after %s, ", h.Group, cmp.Or(h.Successor, "another node"), took)
		if h.Goodbye {
			text += "asked by a goodbye, "
		}
		if h.GapSeconds > 0 {
			return text + "with a gap of " + span(h.GapSeconds) + " without an owner"
		}
		return text + "without a gap: this node answered until its first advertisement"
	case api.OutcomeNotTaken:
		return fmt.Sprintf("%s: no peer took over within %s; still MASTER here", h.Group, took)
	case api.OutcomeGivenUp:
		return fmt.Sprintf("%s: given up after %s without a successor: no node owns it now, "+
			"and this node takes it again if no other does", h.Group, took)
	case api.OutcomeNotMaster:
		state := h.State
		if state == api.StateInit {
			state += " (" + h.Reason + ")"
		}
		return fmt.Sprintf("%s: nothing to hand over, it is %s here", h.Group, state)
	}
	return strings.TrimSpace(h.Group + ": " + h.Outcome)
}
