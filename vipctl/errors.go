// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

// usageError is a command line that cannot be understood.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// degradedError makes --check end with its own code.
type degradedError struct {
	why  string
	told bool // on stdout already
}

func (e *degradedError) Error() string { return "degraded: " + e.why }

func exitCode(err error) int {
	var (
		usage       *usageError
		degraded    *degradedError
		unreachable *api.UnreachableError
		library     cli.ExitCoder
	)
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &unreachable):
		return ExitUnreachable
	case errors.As(err, &degraded):
		return ExitDegraded
	case errors.As(err, &usage), errors.As(err, &library): // the library's own are about help topics
		return ExitUsage
	}
	return ExitFailure
}

func onUsageError(c *cli.Context, err error, _ bool) error {
	return usagef("%v; see `%s --help`", err, commandName(c))
}

// commandName is the command as it was typed, without flags.
func commandName(c *cli.Context) string {
	name := c.Command.HelpName
	if name == "" {
		return "vipctl"
	}
	return name
}

// unknownCommand is the action of whatever only has commands below it.
func unknownCommand(c *cli.Context, commands []*cli.Command, name string) error {
	var names []string
	for _, sub := range commands {
		if !sub.Hidden {
			names = append(names, sub.Name)
		}
	}
	if !c.Args().Present() {
		return usagef("which command? There are %s; see `%s --help`", strings.Join(names, ", "), name)
	}
	typed := c.Args().First()
	return usagef("there is no command %q; there are %s", typed, strings.Join(names, ", "))
}

// arguments returns the positional arguments, of which there must be as many as
// names. The flag library takes what looks like a flag after the first of them for
// another argument; that would change what is done without a word.
func arguments(c *cli.Context, names ...string) ([]string, error) {
	args := c.Args().Slice()
	usage := strings.TrimSpace(commandName(c) + " [flags] " + strings.Join(names, " "))
	for _, a := range args {
		if len(a) > 1 && a[0] == '-' {
			return nil, usagef("flag %s stands after an argument and would be ignored: put flags first, as in `%s`", a, usage)
		}
	}
	return counted(args, usage, names)
}

// counted holds the arguments to their names.
func counted(args []string, usage string, names []string) ([]string, error) {
	switch {
	case len(args) < len(names):
		return nil, usagef("%s is missing: `%s`", names[len(args)], usage)
	case len(args) > len(names):
		return nil, usagef("%q is one argument too many: `%s`", args[len(names)], usage)
	}
	return args, nil
}

// oneOf holds a flag to its values.
func oneOf(c *cli.Context, flag string, allowed ...string) (string, error) {
	v := c.String(flag)
	if slices.Contains(allowed, v) {
		return v, nil
	}
	return "", usagef("--%s %q is unknown; allowed are %s", flag, v, strings.Join(allowed, ", "))
}
