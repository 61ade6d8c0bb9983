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
		Usage:     "show what a reload would change, and which virtual IPs would move",
		UsageText: "vipctl plan [-o table|json] [FILE]",
		ArgsUsage: "[FILE]",
		Description: example(
			"The running vipd compares FILE with its running configuration and changes nothing. Without FILE it compares its\n"+
				"own file, as `vipctl reload` would. The exit code is 0 if the config is valid, whatever it would change, and 1\n"+
				"if a reload would refuse it; then every problem is listed.",
			"vipctl plan /etc/vipd/vipd.toml && vipctl reload",
			"vipctl plan -o json new.toml | jq .moves",
		),
		Flags:  []cli.Flag{tableOrJSON()},
		Action: withArguments(p.plan),
	}
}

func (p *program) plan(c *cli.Context, args []string) error {
	var file *api.ConfigFile
	if args[0] != "" {
		var err error
		if file, err = readConfig(args[0]); err != nil {
			return err
		}
	}
	raw, err := p.client(c).RawPlan(c.Context, file)
	if err != nil {
		if _, down := errors.AsType[*api.UnreachableError](err); down {
			return fmt.Errorf("%w\na plan needs the running vipd; `vipctl config check FILE` checks a file alone", err)
		}
		return err
	}
	return printAnswer(p, c, raw, "the plan", func(plan *api.Plan) {
		p.printf("%s", p.planView(plan))
		for _, w := range plan.Warnings {
			p.warn("warning: %s", w)
		}
	})
}

// readConfig reads the file here: the daemon may see another filesystem.
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
	text, err := readAll(f, path, api.MaxConfig)
	return &api.ConfigFile{Name: abs, Mode: uint32(info.Mode().Perm()), Text: text}, err
}

// readAll reads at most limit bytes; more are an error.
func readAll(r io.Reader, name string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s exceeds the limit of %d bytes", name, limit)
	}
	return data, err
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
	if plan.NeedsForce {
		fmt.Fprintf(&b, "%s has no [[vip]]: all groups would be given up, which only `vipctl reload --force` does.\n",
			plan.Source)
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
	fmt.Fprintf(&b, "%s %s", p.planAction(c.Action), c.Group)
	if c.State != "" {
		fmt.Fprintf(&b, " (%s here)", c.State)
	}
	if len(c.Fields) > 0 {
		fmt.Fprintf(&b, ": %s", strings.Join(c.Fields, ", "))
	}
	b.WriteByte('\n')
	for i := range c.Effects {
		e := &c.Effects[i]
		colour := yellow
		switch e.Effect {
		case api.EffectNone:
			fmt.Fprintf(&b, "    %s\n", e.Text)
			continue
		case api.EffectDeaf, api.EffectGivesUp:
			colour = red
		}
		fmt.Fprintf(&b, "    %s", p.paint(colour, strings.ReplaceAll(e.Effect, "_", " ")))
		if len(e.Addresses) > 0 {
			fmt.Fprintf(&b, " %s", strings.Join(e.Addresses, ", "))
		}
		fmt.Fprintf(&b, ": %s\n", e.Text)
	}
	return b.String()
}

func (p *program) planAction(action string) string {
	switch action {
	case api.PlanAdd:
		return p.paint(green, "+ add")
	case api.PlanRemove:
		return p.paint(red, "- remove")
	case api.PlanModify:
		return p.paint(yellow, "~ change")
	case api.PlanReach:
		return p.paint(yellow, "~ reach")
	}
	return "? " + action
}
