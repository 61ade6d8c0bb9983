// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// arguments returns the positional arguments, of which there must be as many as names.
// Flags may stand after them, where the flag library does not look: it would take them
// for arguments. What stands after -- is an argument always, and so is a negative
// number.
func arguments(c *cli.Context, names ...string) ([]string, error) {
	args, err := words(c)
	if err != nil {
		return nil, err
	}
	usage := strings.TrimSpace(commandName(c) + " [flags] " + strings.Join(names, " "))
	switch {
	case len(args) < len(names):
		return nil, usagef("%s is missing: `%s`", names[len(args)], usage)
	case len(args) > len(names):
		return nil, usagef("%q is one argument too many: `%s`", args[len(names)], usage)
	}
	return args, nil
}

// errHelped ends a command that was asked for its help after an argument.
var errHelped = errors.New("helped")

// optional is [arguments] for a command with one argument that may be left out; then
// it is empty.
func optional(c *cli.Context, name string) (string, error) {
	args, err := words(c)
	switch {
	case err != nil:
		return "", err
	case len(args) == 0:
		return "", nil
	case len(args) > 1:
		return "", usagef("%q is one argument too many: `%s [flags] [%s]`", args[1], commandName(c), name)
	}
	return args[0], nil
}

// words are the arguments without the flags between them, which are set.
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
		for _, name := range flag.Names() { // the library makes one of them only while it parses
			if err := c.Set(name, value); err != nil {
				return nil, usagef("--%s %q: %v; see `%s --help`", name, value, err, commandName(c))
			}
		}
		if f, ok := flag.(*cli.StringFlag); ok && f.Action != nil { // the library calls it for those before the arguments
			if err := f.Action(c, value); err != nil {
				return nil, err
			}
		}
	}
	return args, nil
}
