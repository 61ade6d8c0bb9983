// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

func (p *program) doctorCommand() *cli.Command {
	return &cli.Command{
		Name:      "doctor",
		Usage:     "find the cause of two masters and other faults",
		UsageText: "vipctl doctor [--for SECONDS] [-o table|json]",
		Description: example(
			"Listens to the segment for a few seconds, asks which hosts answer for the addresses, and checks this host.\n"+
				"Nothing is changed. It prints each finding with its evidence and what to do about it, then the list of checks.\n"+
				"If both nodes are MASTER, run it on each: they see different halves of the fault. The exit code is 0 if no\n"+
				"fault was found, 4 if there is a fault or a warning, and 1 if the examination failed.",
			"vipctl doctor",
			"vipctl doctor -o json | jq -r '.findings[].cause'",
		),
		Flags: []cli.Flag{
			tableOrJSON(),
			&cli.IntFlag{
				Name:        "for",
				Usage:       "listen to the segment for `SECONDS`",
				DefaultText: "one and a half intervals, at least 3",
			},
		},
		Action: withArguments(p.doctor),
	}
}

func (p *program) doctor(c *cli.Context, _ []string) error {
	seconds := c.Int("for")
	if c.IsSet("for") && (seconds < api.MinDoctorSeconds || seconds > api.MaxDoctorSeconds) {
		return usagef("--for %d is not allowed; allowed are %d..%d seconds",
			seconds, api.MinDoctorSeconds, api.MaxDoctorSeconds)
	}
	if p.tty && !wantsJSON(c) {
		p.warn("watching the segment, this takes a few seconds")
	}
	raw, err := p.client(c).RawDoctor(c.Context, seconds)
	if err != nil {
		return err
	}
	var d api.Doctor
	if err := decode(raw, "the answer", &d); err != nil {
		return err
	}
	if wantsJSON(c) {
		err = p.raw(raw)
	} else {
		p.printf("%s", p.doctorView(&d))
	}
	if err == nil && len(d.Findings) > 0 {
		return &degradedError{why: found(&d), told: true}
	}
	return err
}

// found counts the findings.
func found(d *api.Doctor) string {
	faults := 0
	for i := range d.Findings {
		if d.Findings[i].Severity == api.SeverityFault {
			faults++
		}
	}
	var parts []string
	count := func(n int, word string) {
		switch {
		case n == 1:
			parts = append(parts, "1 "+word)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", n, word))
		}
	}
	count(faults, "fault")
	count(len(d.Findings)-faults, "warning")
	return strings.Join(parts, " and ")
}

func (p *program) doctorView(d *api.Doctor) string {
	var b strings.Builder
	for i := range d.Findings {
		b.WriteString(p.findingView(&d.Findings[i]) + "\n")
	}
	fmt.Fprintf(&b, "Checked, watching the segment for %.1f s:\n", d.WatchedSeconds)
	var t table
	for i := range d.Checks {
		check := &d.Checks[i]
		t.add("", p.checkResult(check.Result), check.What, check.Note)
	}
	b.WriteString(t.String())
	if len(d.Findings) == 0 {
		b.WriteString("\nNo fault found.\n")
	} else {
		fmt.Fprintf(&b, "\n%s found.\n", found(d))
	}
	return b.String()
}

func (p *program) findingView(f *api.Finding) string {
	colour := yellow
	if f.Severity == api.SeverityFault {
		colour = red
	}
	where := ""
	if f.Group != "" {
		where = f.Group + " "
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s(%s)\n  %s\n", p.paint(colour, strings.ToUpper(f.Severity)), where, f.Code, f.Cause)
	for _, e := range f.Evidence {
		fmt.Fprintf(&b, "  - %s\n", e)
	}
	fmt.Fprintf(&b, "  Do: %s\n", f.Advice)
	return b.String()
}

func (p *program) checkResult(result string) string {
	switch result {
	case api.CheckOK:
		return p.paint(green, "ok")
	case api.CheckFound:
		return p.paint(red, "FOUND")
	}
	return p.paint(yellow, result)
}
