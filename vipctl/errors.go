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
	return usagef("there is no command %q; %sthere are %s", typed, suggestion(names, typed), strings.Join(names, ", "))
}

// suggestion is the command that was meant, if one is near: the first with the longest
// common beginning of two letters or more, or all its letters in another order.
func suggestion(names []string, typed string) string {
	best, most := "", 1
	for _, name := range names {
		n := 0
		for n < min(len(name), len(typed)) && name[n] == typed[n] {
			n++
		}
		if sameLetters(name, typed) {
			n = len(name)
		}
		if n > most {
			best, most = name, n
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "? "
}

func sameLetters(a, b string) bool {
	x, y := []byte(a), []byte(b)
	slices.Sort(x)
	slices.Sort(y)
	return string(x) == string(y)
}

// oneOf holds a flag to its values.
func oneOf(c *cli.Context, flag string, allowed ...string) (string, error) {
	v := c.String(flag)
	if slices.Contains(allowed, v) {
		return v, nil
	}
	return "", usagef("--%s %q is unknown; allowed are %s", flag, v, strings.Join(allowed, ", "))
}
