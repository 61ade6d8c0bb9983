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
		Usage:     "look for the cause of two masters and other faults",
		UsageText: "vipctl doctor [--for SECONDS] [-o table|json]",
		Description: example("It watches the wire for a few seconds, asks the segment who answers for the addresses, and looks at this host. Nothing is\n"+
			"changed. What it finds is told with the evidence and what to do about it, then what was looked at. Of two nodes that are\n"+
			"both MASTER ask each: they see different halves of the fault. The exit code is 0 when no fault was found, 4 when there is\n"+
			"a fault or a warning, and 1 when the doctor could not look.",
			"vipctl doctor", "vipctl doctor -o json | jq -r '.findings[].cause'"),
		Flags: []cli.Flag{
			outputFlag(formatTable, formatJSON),
			&cli.IntFlag{Name: "for", Usage: "watch the wire for `SECONDS`", DefaultText: "one and a half intervals, at least 3"},
		},
		Action: p.doctor,
	}
}

func (p *program) doctor(c *cli.Context) error {
	if _, err := arguments(c); err != nil {
		return err
	}
	format, err := oneOf(c, "output", formatTable, formatJSON)
	if err != nil {
		return err
	}
	seconds := c.Int("for")
	if c.IsSet("for") && (seconds < api.MinDoctorSeconds || seconds > api.MaxDoctorSeconds) {
		return usagef("--for %d is not allowed; allowed are %d..%d seconds", seconds, api.MinDoctorSeconds, api.MaxDoctorSeconds)
	}
	if p.tty && format == formatTable {
		p.warn("watching the wire, this takes some seconds")
	}
	raw, err := p.client(c).RawDoctor(c.Context, seconds)
	if err != nil {
		return err
	}
	var d api.Doctor
	if err := understand(raw, "the answer", &d); err != nil {
		return err
	}
	text := p.doctorView(&d)
	if format == formatJSON {
		if text, err = indent(raw); err != nil {
			return err
		}
	}
	p.printf("%s", text)
	if len(d.Findings) > 0 {
		return &degradedError{why: found(&d), told: true}
	}
	return nil
}

// found counts the findings.
func found(d *api.Doctor) string {
	var faults, warnings int
	for i := range d.Findings {
		if d.Findings[i].Severity == api.SeverityFault {
			faults++
		} else {
			warnings++
		}
	}
	var parts []string
	for _, n := range []struct {
		count int
		word  string
	}{{faults, "fault"}, {warnings, "warning"}} {
		switch {
		case n.count == 1:
			parts = append(parts, "1 "+n.word)
		case n.count > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", n.count, n.word))
		}
	}
	return strings.Join(parts, " and ")
}

func (p *program) doctorView(d *api.Doctor) string {
	var b strings.Builder
	for i := range d.Findings {
		b.WriteString(p.findingView(&d.Findings[i]))
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "Looked at, watching the wire for %.1f s:\n", d.WatchedSeconds)
	var t table
	for i := range d.Checks {
		check := &d.Checks[i]
		t.add(plain(""), p.resultCell(check.Result), plain(check.What), plain(check.Note))
	}
	b.WriteString(t.String(p.colour))
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
	fmt.Fprintf(&b, "%s %s(%s)\n  %s\n", paint(cell{strings.ToUpper(f.Severity), colour}, p.colour), where, f.Code, f.Cause)
	for _, e := range f.Evidence {
		fmt.Fprintf(&b, "  - %s\n", e)
	}
	fmt.Fprintf(&b, "  Do: %s\n", f.Advice)
	return b.String()
}

func (p *program) resultCell(result string) cell {
	switch result {
	case api.CheckOK:
		return cell{"ok", green}
	case api.CheckFound:
		return cell{"FOUND", red}
	}
	return cell{result, yellow}
}
