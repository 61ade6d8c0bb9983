// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

const (
	restartTimeout = 15 * time.Second
	restartPoll    = 50 * time.Millisecond
	// startPatience is how long groups of the next vipd may take to leave INIT before they are counted as they are.
	startPatience = 2 * time.Second
	// reasonStartup is that of a group in INIT before its data plane is attached.
	reasonStartup = "startup"
)

func (p *program) restartCommand() *cli.Command {
	return &cli.Command{
		Name:      "restart",
		Usage:     "replace the running vipd without releasing any address",
		UsageText: "vipctl restart [--hand-over] [--timeout TIME]",
		Description: example(
			"vipd exits without a goodbye: addresses and kernel programs stay, and the kernel answers until the lease ends.\n"+
				"systemd starts the next vipd (Restart=always), which carries on; without a supervisor start it by hand at once.\n"+
				"Returns when the next vipd answers. A config that it would refuse is refused first, and the running vipd "+
				"stays.\n\n"+
				"A vipd that has another layout of its tables in the kernel, or needs larger ones, cannot carry on. Then nothing\n"+
				"happens without --hand-over. With it this node enters maintenance mode until the next vipd runs: the addresses\n"+
				"move to another node before the restart, and back afterwards.",
			"vipctl restart",
			"vipctl restart --hand-over",
		),
		Flags: []cli.Flag{
			&cli.BoolFlag{
				Name:  "hand-over",
				Usage: "if the next vipd cannot carry on, move the addresses to another node meanwhile",
			},
			&cli.DurationFlag{Name: "timeout", Value: restartTimeout, Usage: "wait `TIME` for the next vipd"},
		},
		Action: withArguments(p.restart),
	}
}

func (p *program) restart(c *cli.Context, _ []string) error {
	if limit := c.Duration("timeout"); limit <= 0 {
		return usagef("--timeout %v is not allowed; allowed are times above 0, such as 15s", limit)
	}
	client := p.client(c)
	away, err := p.prepareRestart(c, client)
	if err != nil {
		return err
	}
	err = p.replace(c, client)
	if !away {
		return err
	}
	// Also if the running vipd stays, and after Ctrl-C.
	if _, failed := client.LeaveMaintenance(context.WithoutCancel(c.Context)); failed != nil {
		return errors.Join(err, fmt.Errorf("this node is still in maintenance mode (%w); when vipd runs, "+
			"`vipctl maintenance leave` ends it", failed))
	}
	p.printf("left maintenance mode: the addresses come back as the config says\n")
	return err
}

// replace has the running vipd leave, and waits for the next one.
func (p *program) replace(c *cli.Context, client *api.Client) error {
	left, err := client.Restart(c.Context)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
	defer cancel()
	var patience <-chan time.Time
	for {
		if pid, err := client.DaemonPID(ctx); err == nil && pid != left.PID {
			if patience == nil {
				patience = time.After(startPatience)
			}
			st, err := client.Status(ctx)
			if err == nil && (!starting(&st) || ended(patience)) {
				p.printf("restarted: vipd %s answers (process %d), %s\n", st.Version, pid, summary(&st))
				return nil
			}
		}
		select {
		case <-ctx.Done():
			if c.Err() != nil {
				return context.Canceled
			}
			return fmt.Errorf("vipd (process %d) was asked to exit, and none answers in its place after %v: "+
				"its addresses are released when the lease ends; start it with `systemctl start vipd`, and check its log",
				left.PID, c.Duration("timeout"))
		case <-time.After(restartPoll):
		}
	}
}

// starting reports whether a group has had no time yet to leave INIT.
func starting(st *api.Status) bool {
	return slices.ContainsFunc(st.Groups, func(g api.Group) bool {
		return g.State == api.StateInit && g.Reason == reasonStartup
	})
}

func ended(after <-chan time.Time) bool {
	select {
	case <-after:
		return true
	default:
		return false
	}
}
