// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

func (p *program) planCommand() *cli.Command {
	return &cli.Command{
		Name:      "plan",
		Usage:     "tell what a reload of a config would change, and which virtual IPs would move",
		UsageText: "vipctl plan [-o table|json] [FILE]",
		ArgsUsage: "[FILE]",
		Description: example("The running vipd compares FILE with what it runs, and changes nothing. Without FILE it takes the file that it was\n"+
			"started with, as it is now: what `vipctl reload` would do. The exit code is 0 when the config is valid, whatever it\n"+
			"would change, and 1 when a reload would refuse it; then every problem is told.",
			"vipctl plan /etc/vipd/vipd.toml && vipctl reload", "vipctl plan -o json new.toml | jq .moves"),
		Flags:  []cli.Flag{outputFlag(formatTable, formatJSON)},
		Action: p.planFile,
	}
}

func (p *program) planFile(c *cli.Context) error {
	path, err := optional(c, "FILE")
	if err != nil {
		return err
	}
	format, err := oneOf(c, "output", formatTable, formatJSON)
	if err != nil {
		return err
	}
	var file *api.ConfigFile
	if path != "" {
		if file, err = readConfig(path); err != nil {
			return err
		}
	}
	raw, err := p.client(c).RawPlan(c.Context, file)
	if err != nil {
		if _, down := errors.AsType[*api.UnreachableError](err); down {
			return fmt.Errorf("%w\nwithout it there is nothing to compare with; `vipctl config check FILE` checks a file alone", err)
		}
		return err
	}
	if format == formatJSON {
		return p.raw(raw)
	}
	var plan api.Plan
	if err := understand(raw, "the plan", &plan); err != nil {
		return err
	}
	p.printf("%s", p.planView(&plan))
	for _, w := range plan.Warnings {
		p.warn("warning: %s", w)
	}
	return nil
}

// readConfig reads the file here: the daemon's view of the filesystem may be another.
func readConfig(path string) (*api.ConfigFile, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, api.MaxConfig+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > api.MaxConfig:
		return nil, fmt.Errorf("%s is larger than %d bytes, which no config is", path, api.MaxConfig)
	}
	return &api.ConfigFile{Name: abs, Mode: uint32(info.Mode().Perm()), Text: text}, nil
}

func (p *program) planView(plan *api.Plan) string {
	var b strings.Builder
	for i := range plan.Changes {
		b.WriteString(p.planChange(&plan.Changes[i]))
	}
	line := func(what string, names []string) {
		if len(names) > 0 {
			fmt.Fprintf(&b, "%s: %s\n", what, strings.Join(names, ", "))
		}
	}
	line("In force at once", plan.Global)
	line("Only after a restart of vipd", plan.NeedRestart)
	switch {
	case len(plan.Changes) == 0 && len(plan.Global)+len(plan.NeedRestart) == 0:
		fmt.Fprintf(&b, "%s is what %s runs: a reload would change nothing.\n", plan.Source, orDash(plan.Node))
		return b.String()
	case len(plan.Untouched) > 12:
		fmt.Fprintf(&b, "Not touched: %d groups\n", len(plan.Untouched))
	default:
		line("Not touched", plan.Untouched)
	}
	if plan.Moves {
		b.WriteString("Virtual IPs would or could move; nothing was changed.\n")
	} else {
		b.WriteString("No virtual IP would move; nothing was changed.\n")
	}
	return b.String()
}

func (p *program) planChange(c *api.PlanChange) string {
	var b strings.Builder
	sign := map[string]cell{
		api.PlanAdd: {"+ add", green}, api.PlanRemove: {"- remove", red}, api.PlanModify: {"~ change", yellow}, api.PlanReach: {"~ reach", yellow},
	}[c.Action]
	if sign.text == "" {
		sign = plain("? " + c.Action)
	}
	fmt.Fprintf(&b, "%s %s", paint(sign, p.colour), c.Group)
	if c.State != "" {
		fmt.Fprintf(&b, " (%s here)", c.State)
	}
	if len(c.Fields) > 0 {
		fmt.Fprintf(&b, ": %s", strings.Join(c.Fields, ", "))
	}
	b.WriteByte('\n')
	for i := range c.Effects {
		e := &c.Effects[i]
		name := cell{strings.ReplaceAll(e.Effect, "_", " "), yellow}
		switch e.Effect {
		case api.EffectNone:
			fmt.Fprintf(&b, "    %s\n", e.Text)
			continue
		case api.EffectDeaf, api.EffectGivesUp:
			name.colour = red
		}
		fmt.Fprintf(&b, "    %s", paint(name, p.colour))
		if len(e.Addresses) > 0 {
			fmt.Fprintf(&b, " %s", strings.Join(e.Addresses, ", "))
		}
		fmt.Fprintf(&b, ": %s\n", e.Text)
	}
	return b.String()
}
