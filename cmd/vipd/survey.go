// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/urfave/cli/v2"

	"vipd/agent/netio"
	"vipd/agent/survey"
)

// surveyTime is longer than the usual intervals of CARP and VRRP, a second.
const surveyTime = 4 * time.Second

func printSurvey(ctx context.Context, c *cli.Context, stdout io.Writer) error {
	var addrs []netip.Addr
	for _, text := range c.StringSlice("address") {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("%w: --address %q is not ADDRESS/LENGTH", errUsage, text)
		}
		addrs = append(addrs, p.Addr())
	}
	host, err := netio.NewHost()
	if err != nil {
		return err
	}
	defer host.Close()
	found, err := survey.Look(ctx, host, c.String("survey"), addrs, surveyTime)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(found)
}
