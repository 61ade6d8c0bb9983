// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"context"
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

// Exit codes of a check without an exit status, as shells and timeout(1) use them.
const (
	exitTimedOut   = 124
	exitNotStarted = 127
	exitSignal     = 128 // plus the signal's number
)

// checkFailedError ends the command with the exit status of the check.
type checkFailedError struct{ code int }

func (e *checkFailedError) Error() string { return "check failed" }

func (p *program) checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "list the health checks, or run one by hand",
		UsageText: "vipctl check list|run",
		Description: example(
			"A failing check demotes this node; `vipctl demotion list` shows it as check:NAME.",
			"vipctl check list",
			"vipctl check run haproxy",
		),
		Subcommands: []*cli.Command{
			{
				Name:      "list",
				Usage:     "list the checks with their last results",
				UsageText: "vipctl check list [-o table|json]",
				Description: example(
					"COUNT is the number of consecutive results of the last kind, and the number that changes the state.",
					"vipctl check list",
				),
				Flags:  []cli.Flag{tableOrJSON()},
				Action: withArguments(p.checkList),
			},
			{
				Name:      "run",
				Usage:     "run a check now, as vipd does",
				UsageText: "vipctl check run [-o table|json] NAME",
				ArgsUsage: "NAME",
				Description: example(
					"Prints the output and the result, and changes neither state nor demotion. The exit code is the exit status of\n"+
						"the check's program, 124 if it timed out, 127 if it could not be started, and 128 + N if signal N ended it;\n"+
						"for other types it is 0 if the check passes and 1 if it fails. It is 3 if vipd does not answer.",
					"vipctl check run haproxy",
				),
				Flags: []cli.Flag{tableOrJSON()},
				BashComplete: p.completeNames(func(ctx context.Context, client *api.Client) (names []string) {
					list, _ := client.Checks(ctx)
					for i := range list.Checks {
						names = append(names, list.Checks[i].Name)
					}
					return names
				}),
				Action: withArguments(p.checkRun),
			},
		},
	}
}

func (p *program) checkList(c *cli.Context, _ []string) error {
	raw, err := p.client(c).RawChecks(c.Context)
	if err != nil {
		return err
	}
	return printAnswer(p, c, raw, "the checks", func(list *api.Checks) {
		if len(list.Checks) == 0 {
			p.printf("No checks are configured.\n")
			return
		}
		var t table
		t.add("NAME", "TYPE", "STATE", "SINCE", "LAST RUN", "COUNT", "DEMOTION", "SUBJECT", "REASON")
		for i := range list.Checks {
			k := &list.Checks[i]
			colour, demotion := yellow, "0 of "+strconv.Itoa(k.Demotion)
			switch k.State {
			case api.CheckPassing:
				colour = green
			case api.CheckFailing:
				colour, demotion = red, strconv.Itoa(k.Demotion)
			}
			t.add(k.Name, k.Type, p.paint(colour, k.State), p.clock(k.Since, toSeconds), p.ago(k.LastRun),
				checkCount(k), demotion, k.Subject, orDash(k.Reason))
		}
		p.printf("%s", &t)
	})
}

// checkCount is, for example, "failed 2/3": two in a row, three change the state.
func checkCount(k *api.Check) string {
	switch {
	case k.Failures > 0:
		return fmt.Sprintf("failed %d/%d", k.Failures, k.Fall)
	case k.Successes > 0:
		return fmt.Sprintf("passed %d/%d", k.Successes, k.Rise)
	}
	return "-"
}

func (p *program) checkRun(c *cli.Context, args []string) error {
	ran, err := p.client(c).RunCheck(c.Context, args[0])
	if err != nil {
		return err
	}
	if wantsJSON(c) {
		err = p.json(ran)
	} else {
		p.printf("%s", checkRunView(&ran))
	}
	if code := checkExit(&ran); err == nil && code != 0 {
		return &checkFailedError{code}
	}
	return err
}

// checkRunView is the output of the check's program and a line with the result.
func checkRunView(r *api.CheckRun) string {
	text := ""
	if r.Output != "" {
		text = r.Output + "\n"
	}
	if r.Truncated {
		text += "(the rest of the output was not kept)\n"
	}
	verdict := "passed"
	if !r.Passed {
		verdict = "failed"
	}
	text += fmt.Sprintf("%s: %s after %s", r.Name, verdict, span(r.DurationSeconds))
	if r.ExitCode != nil && r.Passed {
		text += ", exit status " + strconv.Itoa(*r.ExitCode)
	}
	if r.Reason != "" { // includes the exit status
		text += ": " + r.Reason
	}
	return text + "\n"
}

func checkExit(r *api.CheckRun) int {
	switch {
	case r.Passed:
		return 0
	case r.TimedOut:
		return exitTimedOut
	case r.NotStarted:
		return exitNotStarted
	case r.Signal > 0:
		return exitSignal + r.Signal
	case r.ExitCode != nil && *r.ExitCode > 0:
		return *r.ExitCode
	}
	return ExitFailure
}
