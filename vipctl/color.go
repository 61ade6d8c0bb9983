// SPDX-License-Identifier: Apache-2.0

package vipctl

import "github.com/urfave/cli/v2"

// colorFlag stands before the command and after it; whichever is read last decides.
func (p *program) colorFlag() *cli.StringFlag {
	return &cli.StringFlag{
		Name: "color", Usage: "`WHEN` to colour: auto, always, never", DefaultText: "auto: on a terminal, unless NO_COLOR is set",
		Action: func(_ *cli.Context, when string) error { return p.setColor(when) },
	}
}

func (p *program) setColor(when string) error {
	switch when {
	case "auto":
	case "always":
		p.colour, p.symbols = true, true
	case "never":
		p.colour = false
	default:
		return usagef("--color %q is unknown; allowed are auto, always, never", when)
	}
	return nil
}
