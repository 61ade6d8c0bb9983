// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"
)

const (
	restartTimeout = 15 * time.Second
	restartPoll    = 50 * time.Millisecond
)

func (p *program) restartCommand() *cli.Command {
	return &cli.Command{
		Name:      "restart",
		Usage:     "replace the running vipd without giving anything up",
		UsageText: "vipctl restart [--timeout TIME]",
		Description: example("vipd leaves without goodbye: addresses and kernel programs stay, and the kernel goes on answering until the lease ends.\n"+
			"systemd starts the next vipd (Restart=always), which carries on. Returns when it answers; without a supervisor start it\n"+
			"by hand at once.",
			"vipctl restart"),
		Flags:  []cli.Flag{&cli.DurationFlag{Name: "timeout", Value: restartTimeout, Usage: "wait `TIME` for the next vipd"}},
		Action: p.restart,
	}
}

func (p *program) restart(c *cli.Context) error {
	if _, err := arguments(c); err != nil {
		return err
	}
	client := p.client(c)
	left, err := client.Restart(c.Context)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
	defer cancel()
	for {
		if pid, err := client.DaemonPID(ctx); err == nil && pid != left.PID {
			if st, err := client.Status(ctx); err == nil {
				p.printf("restarted: vipd %s answers (process %d), %s\n", st.Version, pid, summary(&st))
				return nil
			}
		}
		select {
		case <-ctx.Done():
			if c.Err() != nil {
				return context.Canceled
			}
			return fmt.Errorf("vipd (process %d) was asked to leave, and none answers in its place after %v: its addresses go when the lease ends; "+
				"start it with `systemctl start vipd`, and look at its log", left.PID, c.Duration("timeout"))
		case <-time.After(restartPoll):
		}
	}
}
