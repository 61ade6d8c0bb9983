// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Output formats.
const (
	formatTable  = "table"
	formatWide   = "wide"
	formatJSON   = "json"
	formatTOML   = "toml"
	formatPcapng = "pcapng"
)

// choiceFlag takes one of a few words, which completion offers.
type choiceFlag struct {
	*cli.StringFlag
	words []string
}

// outputFlag selects one of the formats; the first is the default.
func outputFlag(formats ...string) cli.Flag {
	return choiceFlag{words: formats, StringFlag: &cli.StringFlag{
		Name:    "output",
		Aliases: []string{"o"},
		Value:   formats[0],
		Usage:   "`FORMAT`: " + strings.Join(formats, ", "),
		Action:  func(_ *cli.Context, format string) error { return oneOf("output", format, formats...) },
	}}
}

// tableOrJSON is the flag of most commands.
func tableOrJSON() cli.Flag { return outputFlag(formatTable, formatJSON) }

func wantsJSON(c *cli.Context) bool { return c.String("output") == formatJSON }

// colorFlag is accepted before and after the command; the last one wins.
func (p *program) colorFlag() cli.Flag {
	words := []string{"auto", "always", "never"}
	return choiceFlag{words: words, StringFlag: &cli.StringFlag{
		Name:        "color",
		Usage:       "`WHEN` to colour: " + strings.Join(words, ", "),
		DefaultText: "auto: on a terminal, unless NO_COLOR is set",
		Action: func(_ *cli.Context, when string) error {
			switch when {
			case "always":
				p.colour, p.symbols = true, true
			case "never":
				p.colour = false
			}
			return oneOf("color", when, words...)
		},
	}}
}

func oneOf(flag, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return usagef("--%s %q is unknown; allowed are %s", flag, value, strings.Join(allowed, ", "))
}

// Write writes to stdout. A failure is kept in p.lost and fails the command.
func (p *program) Write(b []byte) (int, error) {
	n, err := p.env.Stdout.Write(b)
	if err != nil && p.lost == nil {
		p.lost = err
	}
	return n, err
}

// printf prints to stdout.
func (p *program) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(p, format, args...) // Write keeps the error
}

// warn prints a line to stderr.
func (p *program) warn(format string, args ...any) {
	fmt.Fprintf(p.env.Stderr, "vipctl: "+format+"\n", args...)
}

// printAnswer prints the daemon's answer: unchanged with -o json, otherwise by show. The error
// names the answer by what.
func printAnswer[T any](p *program, c *cli.Context, answer json.RawMessage, what string, show func(*T)) error {
	if wantsJSON(c) {
		return p.raw(answer)
	}
	var v T
	if err := decode(answer, what, &v); err != nil {
		return err
	}
	show(&v)
	return nil
}

func decode(answer json.RawMessage, what string, v any) error {
	if err := json.Unmarshal(answer, v); err != nil {
		return fmt.Errorf("cannot read %s: %w; do the vipctl and vipd versions match? (`vipctl version`)", what, err)
	}
	return nil
}

// raw prints the daemon's JSON indented, with fields that vipctl does not know.
func (p *program) raw(answer json.RawMessage) error {
	text, err := indent(answer)
	p.printf("%s", text)
	return err
}

func indent(answer json.RawMessage) (string, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, answer, "", "  "); err != nil {
		return "", fmt.Errorf("cannot read the answer: %w", err)
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}

// json prints v.
func (p *program) json(v any) error {
	answer, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("cannot write the answer: %w", err)
	}
	return p.raw(answer)
}
