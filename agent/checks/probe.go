// SPDX-License-Identifier: Apache-2.0

package checks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"vipd/agent/command"
	"vipd/agent/config"
	"vipd/agent/ordinary"
)

// newProbe returns the probe of a check that the config package has validated.
func newProbe(c config.Check, commands command.Runner, gate *ordinary.Gate) Probe {
	switch c.Type {
	case config.CheckInterface:
		return linkProbe(c.Target)
	case config.CheckRoute:
		return routeProbe(c.Target)
	case config.CheckCommand:
		return commandProbe(c, commands)
	case config.CheckTCP:
		return tcpProbe(c.Target)
	case config.CheckICMP:
		return icmpProbe(c.Target, c.Interface)
	case config.CheckARP:
		return arpProbe(c.Target, c.Interface)
	case config.CheckHTTP:
		return httpProbe(c, gate)
	}
	return func(context.Context) error { return fmt.Errorf("unknown check type %q", c.Type) }
}

// subject returns what a check examines, for messages.
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

// tcpProbe passes if a connection is accepted; it sends nothing.
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

// bare removes what the subject states already: addresses and the name of the system call.
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

// maxSaid is how many bytes of a command's output go into a reason.
const maxSaid = 100

// commandProbe passes if a program ends with status 0.
func commandProbe(c config.Check, commands command.Runner) Probe {
	return func(ctx context.Context) error {
		return commandError(commands.Run(ctx, commandJob(c)))
	}
}

// commandError returns why a program failed, with the first line of its output.
func commandError(res command.Result) error {
	if said := firstLine(res.Output); res.Err != nil && said != "" {
		return fmt.Errorf("%w: %s", res.Err, said)
	}
	return res.Err
}

func commandJob(c config.Check) command.Job {
	return command.Job{Kind: command.Check, Name: c.Name, Argv: c.Command, Env: []string{"VIPD_CHECK=" + c.Name}}
}

func firstLine(output []byte) string {
	for line := range strings.Lines(string(output)) {
		if line = oneLine(line, maxSaid); line != "" {
			return line
		}
	}
	return ""
}

// exchange writes the question and reads until right accepts an answer. Without one it returns the
// error of the deadline.
func exchange(f *os.File, question []byte, right func(answer []byte) bool) error {
	if _, err := f.Write(question); err != nil {
		return bare(err)
	}
	var buf [2048]byte
	for {
		n, err := f.Read(buf[:])
		if err != nil {
			return bare(err)
		}
		if right(buf[:n]) {
			return nil
		}
	}
}
