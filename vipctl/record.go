// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
	"vipd/agent/control/api/pcapng"
)

func (p *program) recordCommand() *cli.Command {
	return &cli.Command{
		Name:      "record",
		Usage:     "show and export the incidents of the flight recorder",
		UsageText: "vipctl record list|show|export",
		Description: example(
			"At every transition vipd saves an incident: the last advertisements, ARP and ND exchanges and rejected frames\n"+
				"of the group, and those of the next two seconds.",
			"vipctl record list",
			"vipctl record show 12",
			"vipctl record export -w incident.pcapng 12",
		),
		Subcommands: []*cli.Command{
			{
				Name:      "list",
				Usage:     "list the incidents, oldest first",
				UsageText: "vipctl record list [-o table|json] [GROUP]",
				ArgsUsage: "[GROUP]",
				Description: example(
					"CAUSE is the advertisement that caused the transition, as sender and advbase/advskew.",
					"vipctl record list",
					"vipctl record list eth0@1",
				),
				Flags:        []cli.Flag{tableOrJSON()},
				BashComplete: p.completeGroups,
				Action:       withArguments(p.recordList),
			},
			{
				Name:      "show",
				Usage:     "show one incident as a timeline",
				UsageText: "vipctl record show [-o table|json] [ID|GROUP]",
				ArgsUsage: "[ID|GROUP]",
				Description: example(
					"Times are in seconds relative to the transition; < was received, > was sent. Without an ID it shows the newest\n"+
						"incident, with a GROUP the newest one of that group.",
					"vipctl record show",
					"vipctl record show 12",
					"vipctl record show eth0@1",
				),
				Flags:        []cli.Flag{tableOrJSON()},
				BashComplete: p.completeGroups,
				Action:       withArguments(p.recordShow),
			},
			{
				Name:      "export",
				Usage:     "write one incident to a file for Wireshark",
				UsageText: "vipctl record export -w FILE [-o pcapng|json] [ID|GROUP]",
				ArgsUsage: "[ID|GROUP]",
				Description: example(
					"Every frame has a comment with its verdict; the advertisement that caused the transition is marked CAUSE.\n"+
						"Only root gets the frames. -w - writes to standard output.",
					"vipctl record export -w incident.pcapng 12",
					"vipctl record export -w - | tshark -r - -T fields -e frame.time -e frame.comment",
				),
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "write", Aliases: []string{"w"}, Usage: "write to `FILE`, - for standard output"},
					outputFlag(formatPcapng, formatJSON),
				},
				BashComplete: p.completeGroups,
				Action:       withArguments(p.recordExport),
			},
		},
	}
}

func (p *program) recordList(c *cli.Context, args []string) error {
	list, err := p.client(c).Incidents(c.Context)
	if err != nil {
		return err
	}
	if group := args[0]; group != "" {
		list.Incidents = slices.DeleteFunc(list.Incidents, func(in api.Incident) bool { return in.Group != group })
	}
	if wantsJSON(c) {
		return p.json(list)
	}
	p.printf("%s", p.incidentsView(list.Incidents))
	if list.Skipped > 0 {
		p.warn("%d transitions came too fast to record each of them; `vipctl history` has them", list.Skipped)
	}
	if list.Unsaved != "" {
		p.warn("incidents are not on disk and are lost when vipd exits: %s", list.Unsaved)
	}
	return nil
}

func (p *program) incidentsView(all []api.Incident) string {
	if len(all) == 0 {
		return "Nothing is recorded yet; vipd saves an incident at every transition.\n"
	}
	var t table
	t.add("ID", "TIME", "GROUP", "FROM", "TO", "REASON", "CAUSE", "FRAMES")
	for i := range all {
		in := &all[i]
		reason := in.Reason
		if in.Transitions > 1 {
			reason += fmt.Sprintf(" +%d", in.Transitions-1)
		}
		t.add(strconv.FormatUint(in.ID, 10), p.clock(in.Time, toMillis), in.Group, in.From,
			p.paint(stateColour(in.To), in.To), reason, causeText(in.Cause), strconv.Itoa(in.Frames))
	}
	return t.String()
}

// incident finds an incident by its number, or the newest of a group or of all.
func (p *program) incident(c *cli.Context, which string) (uint64, error) {
	if id, err := strconv.ParseUint(which, 10, 64); err == nil {
		return id, nil
	}
	list, err := p.client(c).Incidents(c.Context)
	if err != nil {
		return 0, err
	}
	for i := len(list.Incidents) - 1; i >= 0; i-- {
		if in := &list.Incidents[i]; which == "" || in.Group == which {
			return in.ID, nil
		}
	}
	if which == "" {
		return 0, errors.New("nothing is recorded yet; vipd saves an incident at every transition")
	}
	return 0, fmt.Errorf("there is no incident of %s; `vipctl record list` shows all", which)
}

func (p *program) recordShow(c *cli.Context, args []string) error {
	id, err := p.incident(c, args[0])
	if err != nil {
		return err
	}
	raw, err := p.client(c).RawIncident(c.Context, id)
	if err != nil {
		return err
	}
	return printAnswer(p, c, raw, "the incident", func(in *api.Incident) { p.printf("%s", p.timeline(in)) })
}

// timeline is an incident for people.
func (p *program) timeline(in *api.Incident) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Incident %d: %s %s -> %s (%s)\n", in.ID, in.Group, in.From, in.To, in.Reason)
	fmt.Fprintf(&b, "on %s at %s", in.Node, p.clock(in.Time, "2006-01-02 15:04:05.000000000 -07:00"))
	if in.Cause != nil {
		fmt.Fprintf(&b, ", caused by %s", causeText(in.Cause))
	}
	fmt.Fprintf(&b, "\n%d frames", in.Frames)
	if in.Missed > 0 {
		fmt.Fprintf(&b, "; %d of the group exceeded the recorder's budget since vipd started", in.Missed)
	}
	if in.Open {
		b.WriteString("; still being recorded")
	}
	b.WriteString("\n\n")
	for i := range in.Records {
		r := &in.Records[i]
		b.WriteString(p.recordLine(r, fmt.Sprintf("%+12.6f", r.Time.Sub(in.Time).Seconds())) + "\n")
	}
	return b.String()
}

// recordLine is one record with its time in front.
func (p *program) recordLine(r *api.Record, at string) string {
	if r.Kind == api.RecordTransition {
		return p.paint(stateColour(r.Transition.To), fmt.Sprintf("%s  = %s", at, r.Text))
	}
	arrow := "<"
	if r.Direction == "out" {
		arrow = ">"
	}
	line := fmt.Sprintf("%s  %s %s", at, arrow, r.Text)
	if r.LagSeconds != nil && *r.LagSeconds > 0.01 {
		line += fmt.Sprintf(" (vipd read it after %s)", span(*r.LagSeconds))
	}
	switch {
	case r.Cause:
		return p.paint(yellow, line+"  <- this caused the transition")
	case r.Kind == "rejected" || r.Kind == "foreign_vrrp":
		return p.paint(red, line)
	}
	return line
}

func (p *program) recordExport(c *cli.Context, args []string) error {
	path := c.String("write")
	if path == "" {
		return usagef("-w FILE is missing: the file to write, or - for standard output")
	}
	id, err := p.incident(c, args[0])
	if err != nil {
		return err
	}
	in, err := p.client(c).Incident(c.Context, id)
	if err != nil {
		return err
	}
	err = p.write(path, func(w io.Writer) error {
		if !wantsJSON(c) {
			return pcapng.WriteIncident(w, api.Version, &in)
		}
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(&in)
	})
	if err == nil && path != "-" {
		p.warn("incident %d with %d frames written to %s", in.ID, in.Frames, path)
	}
	return err
}

// write fills a file that only root may read, since frames hold digests. It refuses to write
// binary data to a terminal, and removes a file that is incomplete.
func (p *program) write(path string, fill func(io.Writer) error) error {
	if path == "-" {
		if p.tty {
			return errors.New("the capture would go to the terminal; name a file with -w FILE, or pipe it: " +
				"vipctl ... -w - | tshark -r -")
		}
		return fill(p.env.Stdout)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("open the file to write to: %w", err)
	}
	if err := errors.Join(fill(f), f.Close()); err != nil {
		if st, statErr := os.Lstat(path); statErr == nil && st.Mode().IsRegular() {
			err = errors.Join(err, os.Remove(path))
		}
		return err
	}
	return nil
}
