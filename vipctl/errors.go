// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

// usageError is a wrong command line.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// degradedError ends `status --check` and `doctor` with [ExitDegraded].
type degradedError struct {
	why  string
	told bool // already on stdout
}

func (e *degradedError) Error() string { return "degraded: " + e.why }

func exitCode(err error) int {
	var (
		usage       *usageError
		degraded    *degradedError
		unreachable *api.UnreachableError
		failed      *checkFailedError
		library     cli.ExitCoder
	)
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &unreachable):
		return ExitUnreachable
	case errors.As(err, &failed):
		return failed.code
	case errors.As(err, &degraded):
		return ExitDegraded
	case errors.As(err, &usage), errors.As(err, &library): // the library's are about help topics
		return ExitUsage
	}
	return ExitFailure
}

// badValue is the flag library's error for a value of another kind.
var badValue = regexp.MustCompile(`^invalid (?:boolean )?value (".*") for (?:flag )?-([^:]+): `)

func onUsageError(c *cli.Context, err error, _ bool) error {
	if m := badValue.FindStringSubmatch(err.Error()); m != nil && c.Command != nil {
		for _, f := range c.Command.Flags {
			if slices.Contains(f.Names(), m[2]) {
				return usagef("%s %s is not %s; see `%s --help`", dashed(m[2]), m[1], kindOf(f), commandName(c))
			}
		}
	}
	return usagef("%v; see `%s --help`", err, commandName(c))
}

// commandName is the command as typed, without flags.
func commandName(c *cli.Context) string {
	if c.Command.HelpName == "" {
		return "vipctl"
	}
	return c.Command.HelpName
}

// unknownCommand is the action of a command that only has subcommands.
func unknownCommand(c *cli.Context) error {
	var names []string
	for _, sub := range c.Command.Subcommands {
		if !sub.Hidden {
			names = append(names, sub.Name)
		}
	}
	list := strings.Join(names, ", ")
	if !c.Args().Present() {
		return usagef("which command? There are %s; see `%s --help`", list, commandName(c))
	}
	typed := c.Args().First()
	return usagef("there is no command %q; %sthere are %s", typed, suggestion(names, typed), list)
}

// suggestion names the first command that has the same letters as the typed word or shares the
// longest prefix with it, of two letters or more.
func suggestion(names []string, typed string) string {
	best, most := "", 1
	for _, name := range names {
		n := 0
		for n < min(len(name), len(typed)) && name[n] == typed[n] {
			n++
		}
		if sortedLetters(name) == sortedLetters(typed) {
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

func sortedLetters(s string) string {
	letters := []byte(s)
	slices.Sort(letters)
	return string(letters)
}

// groupError replaces the daemon's error for an unknown group by one that lists the groups.
func (p *program) groupError(c *cli.Context, name string, err error) error {
	refused, ok := errors.AsType[*api.Error](err)
	if !ok || refused.Code != api.CodeNoSuchGroup {
		return err
	}
	st, err := p.client(c).Status(c.Context)
	switch {
	case err != nil:
		return err
	case len(st.Groups) == 0:
		return fmt.Errorf("there is no group %s: no virtual IPs are configured; "+
			"add a [[vip]] to vipd.toml and run `vipctl reload`", name)
	}
	return fmt.Errorf("there is no group %s; there are %s", name, someOf(groupNames(&st)))
}
