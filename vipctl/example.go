// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"embed"
	"io/fs"
	"strings"

	"github.com/urfave/cli/v2"
)

// exampleFiles are configs. The first line of each is its name, a colon and what it is for.
//
//go:embed examples/*.toml
var exampleFiles embed.FS

const exampleEnding = ".toml"

func (p *program) configExampleCommand() *cli.Command {
	return &cli.Command{
		Name:      "example",
		Usage:     "print a commented example, or list them",
		UsageText: "vipctl config example [NAME]",
		ArgsUsage: "[NAME]",
		Description: example(
			"Without NAME it lists the examples. `vipctl init` writes a config for this node instead.",
			"vipctl config example",
			"vipctl config example two-nodes > /etc/vipd/vipd.toml",
		),
		BashComplete: func(c *cli.Context) {
			if c.NArg() == 0 {
				p.printf("%s\n", strings.Join(exampleNames(), "\n"))
			}
		},
		Action: withArguments(p.configExample),
	}
}

func (p *program) configExample(_ *cli.Context, args []string) error {
	if args[0] != "" {
		text, err := exampleFiles.ReadFile("examples/" + args[0] + exampleEnding)
		if err != nil {
			names := exampleNames()
			return usagef("there is no example %q; %sthere are %s",
				args[0], suggestion(names, args[0]), strings.Join(names, ", "))
		}
		p.printf("%s", text)
		return nil
	}
	var t table
	for _, name := range exampleNames() {
		text, err := exampleFiles.ReadFile("examples/" + name + exampleEnding)
		if err != nil {
			return err // impossible: the file was just listed
		}
		title, _, _ := strings.Cut(string(text), "\n")
		t.add(name, strings.TrimPrefix(title, "# "+name+": "))
	}
	p.printf("%s", t.String())
	return nil
}

func exampleNames() []string {
	files, err := fs.Glob(exampleFiles, "examples/*"+exampleEnding)
	if err != nil {
		panic(err) // the pattern is constant
	}
	for i, file := range files {
		files[i] = strings.TrimSuffix(strings.TrimPrefix(file, "examples/"), exampleEnding)
	}
	return files
}
