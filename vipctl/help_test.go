// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// Every command has a help text with an example.
func TestEveryCommandHasHelp(t *testing.T) {
	var walk func(path []string, commands []*cli.Command)
	walk = func(path []string, commands []*cli.Command) {
		for _, c := range commands {
			if c.Name == "help" {
				continue
			}
			at := append(append([]string{}, path...), c.Name)
			code, out, errs := run(t, Env{}, append(at, "--help")...)
			if code != ExitOK || errs != "" || c.Usage == "" ||
				!strings.Contains(out, "EXAMPLE:\n      vipctl "+strings.Join(at, " ")) &&
					!strings.Contains(out, "EXAMPLE:\n      source") ||
				!strings.Contains(out, "--socket PATH") {
				t.Errorf("%q: exit %d, %s\n%s", at, code, errs, out)
			}
			walk(at, c.Subcommands)
		}
	}
	p := &program{env: Env{Getenv: func(string) string { return "" }}}
	walk(nil, p.app().Commands)
}
