// SPDX-License-Identifier: Apache-2.0

package checks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"vipd/agent/config"
)

// newProbe returns the probe of a check that config has found valid.
func newProbe(c config.Check) Probe {
	switch c.Type {
	case config.CheckInterface:
		return linkProbe(c.Target)
	case config.CheckRoute:
		return routeProbe(c.Target)
	case config.CheckCommand:
		return commandProbe(c.Name, c.Command)
	case config.CheckTCP:
		return tcpProbe(c.Target)
	case config.CheckICMP:
		return icmpProbe(c.Target, c.Interface)
	case config.CheckARP:
		return arpProbe(c.Target, c.Interface)
	}
	return func(context.Context) error { return fmt.Errorf("checks of type %q are unknown", c.Type) }
}

// subject is what a check looks at, for messages.
func subject(c config.Check) string {
	text := c.Type + " " + c.Target
	if c.Type == config.CheckCommand && len(c.Command) > 0 {
		text = c.Type + " " + c.Command[0]
	}
	if c.Interface != "" {
		text += " on " + c.Interface
	}
	return text
}

// tcpProbe wants a connection to be accepted, and closes it without a word.
func tcpProbe(target string) Probe {
	dialer := &net.Dialer{KeepAlive: -1}
	return func(ctx context.Context) error {
		conn, err := dialer.DialContext(ctx, "tcp", target)
		if err != nil {
			return bare(err)
		}
		return conn.Close()
	}
}

// bare drops what the subject says already: addresses and the name of the call.
func bare(err error) error {
	if oe, ok := errors.AsType[*net.OpError](err); ok {
		err = oe.Err
	}
	if se, ok := errors.AsType[*os.SyscallError](err); ok {
		err = se.Err
	}
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		err = pe.Err
	}
	return err
}
