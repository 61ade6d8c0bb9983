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
		Usage:     "replace the running vipd without releasing any address",
		UsageText: "vipctl restart [--timeout TIME]",
		Description: example(
			"vipd exits without a goodbye: addresses and kernel programs stay, and the kernel answers until the lease ends.\n"+
				"systemd starts the next vipd (Restart=always), which carries on; without a supervisor start it by hand at once.\n"+
				"Returns when the next vipd answers. A config that it would refuse is refused first, and the running vipd stays.",
			"vipctl restart",
		),
		Flags:  []cli.Flag{&cli.DurationFlag{Name: "timeout", Value: restartTimeout, Usage: "wait `TIME` for the next vipd"}},
		Action: withArguments(p.restart),
	}
}

func (p *program) restart(c *cli.Context, _ []string) error {
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
			return fmt.Errorf("vipd (process %d) was asked to exit, and none answers in its place after %v: "+
				"its addresses are released when the lease ends; start it with `systemctl start vipd`, and check its log",
				left.PID, c.Duration("timeout"))
		case <-time.After(restartPoll):
		}
	}
}
