// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

// errHelped ends a command with --help after an argument.
var errHelped = errors.New("helped")

// withArguments runs do with the arguments that the command's ArgsUsage names. An optional one
// ("[GROUP]") that is missing is empty.
func withArguments(do func(c *cli.Context, args []string) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		args, err := arguments(c)
		if err != nil {
			return err
		}
		return do(c, args)
	}
}

func arguments(c *cli.Context) ([]string, error) {
	args, err := words(c)
	if err != nil {
		return nil, err
	}
	names := strings.Fields(c.Command.ArgsUsage)
	usage := strings.TrimSpace(commandName(c) + " [flags] " + c.Command.ArgsUsage)
	if len(args) > len(names) {
		return nil, usagef("%q is one argument too many: `%s`", args[len(names)], usage)
	}
	for _, name := range names[len(args):] {
		if !strings.HasPrefix(name, "[") {
			return nil, usagef("%s is missing: `%s`", name, usage)
		}
		args = append(args, "")
	}
	return args, nil
}

// words sets the flags that stand between or after the arguments, which the flag library would
// take for arguments, and returns the arguments. A negative number and everything after -- is an
// argument.
func words(c *cli.Context) ([]string, error) {
	var args []string
	rest := c.Args().Slice()
	for len(rest) > 0 {
		word := rest[0]
		rest = rest[1:]
		if word == "--" {
			args = append(args, rest...)
			break
		}
		if _, err := strconv.Atoi(word); err == nil || len(word) < 2 || word[0] != '-' {
			args = append(args, word)
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
		at := slices.IndexFunc(c.Command.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
		if at < 0 {
			return nil, usagef("there is no flag %s; see `%s --help`", word, commandName(c))
		}
		flag := c.Command.Flags[at]
		if slices.Contains(cli.HelpFlag.Names(), name) {
			return nil, errors.Join(cli.ShowSubcommandHelp(c), errHelped)
		}
		if _, isSwitch := flag.(*cli.BoolFlag); isSwitch && !hasValue {
			value, hasValue = "true", true
		}
		if !hasValue {
			if len(rest) == 0 {
				return nil, usagef("%s needs a value; see `%s --help`", word, commandName(c))
			}
			value, rest = rest[0], rest[1:]
		}
		for _, name := range flag.Names() { // the library links aliases only while it parses
			if err := c.Set(name, value); err != nil {
				return nil, usagef("%s %q is not %s; see `%s --help`", dashed(name), value, kindOf(flag), commandName(c))
			}
		}
		if f, ok := flag.(cli.ActionableFlag); ok { // as the library does for flags before the arguments
			if err := f.RunAction(c); err != nil {
				return nil, err
			}
		}
	}
	return args, nil
}

// dashed is the flag as typed.
func dashed(name string) string { return strings.Repeat("-", min(len(name), 2)) + name }

// kindOf names what a flag takes.
func kindOf(flag cli.Flag) string {
	switch flag.(type) {
	case *cli.DurationFlag:
		return "a time with its unit, such as 30s or 10m"
	case *cli.IntFlag:
		return "a number"
	case *cli.BoolFlag:
		return "true or false"
	default:
		return "valid"
	}
}

// completeNames completes the first argument with the names that the daemon returns within a
// second.
func (p *program) completeNames(names func(context.Context, *api.Client) []string) cli.BashCompleteFunc {
	return func(c *cli.Context) {
		if c.NArg() > 0 {
			return
		}
		ctx, cancel := context.WithTimeout(c.Context, time.Second)
		defer cancel()
		for _, name := range names(ctx, p.client(c)) {
			p.printf("%s\n", name)
		}
	}
}
