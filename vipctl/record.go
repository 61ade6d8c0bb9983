// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
	"vipd/agent/control/api/pcapng"
)

const formatPcapng = "pcapng"

func (p *program) recordCommand() *cli.Command {
	return &cli.Command{
		Name:      "record",
		Usage:     "show and export what the flight recorder froze",
		UsageText: "vipctl record list|show|export",
		Description: example("At every transition vipd freezes the last adverts, ARP and ND exchanges and refused frames of the group, and what follows\n"+
			"for two seconds: an incident.",
			"vipctl record list", "vipctl record show 12", "vipctl record export -w incident.pcapng 12"),
		Action: func(c *cli.Context) error {
			return unknownCommand(c, c.Command.Subcommands, "vipctl record")
		},
		Subcommands: []*cli.Command{p.recordListCommand(), p.recordShowCommand(), p.recordExportCommand()},
	}
}

func (p *program) recordListCommand() *cli.Command {
	return &cli.Command{
		Name:         "list",
		Usage:        "list the incidents, oldest first",
		UsageText:    "vipctl record list [-o table|json] [GROUP]",
		ArgsUsage:    "[GROUP]",
		Description:  example("CAUSE is the advert that caused the transition: its sender with advbase/advskew.", "vipctl record list", "vipctl record list eth0@1"),
		Flags:        []cli.Flag{outputFlag(formatTable, formatJSON)},
		BashComplete: p.completeGroups,
		Action:       p.recordList,
	}
}

func (p *program) recordShowCommand() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "tell one incident as a story",
		UsageText: "vipctl record show [-o table|json] [ID|GROUP]",
		ArgsUsage: "[ID|GROUP]",
		Description: example("Times are relative to the transition, in seconds; < came in, > went out. Without an ID it is the newest incident, with a\n"+
			"GROUP the newest of that group.", "vipctl record show", "vipctl record show 12", "vipctl record show eth0@1"),
		Flags:        []cli.Flag{outputFlag(formatTable, formatJSON)},
		BashComplete: p.completeGroups,
		Action:       p.recordShow,
	}
}

func (p *program) recordExportCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write one incident into a file for Wireshark",
		UsageText: "vipctl record export -w FILE [-o pcapng|json] [ID|GROUP]",
		ArgsUsage: "[ID|GROUP]",
		Description: example("Every frame carries what became of it as a comment; the advert that caused the transition says CAUSE. Frames are given to\n"+
			"root only. -w - writes to the standard output.",
			"vipctl record export -w incident.pcapng 12", "vipctl record export -w - | tshark -r - -T fields -e frame.time -e frame.comment"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "write", Aliases: []string{"w"}, Usage: "write to `FILE`, - for the standard output"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: formatPcapng, Usage: "`FORMAT`: pcapng, json"},
		},
		BashComplete: p.completeGroups,
		Action:       p.recordExport,
	}
}

func (p *program) recordList(c *cli.Context) error {
	group, err := optional(c, "GROUP")
	if err != nil {
		return err
	}
	format, err := oneOf(c, "output", formatTable, formatJSON)
	if err != nil {
		return err
	}
	list, err := p.client(c).Incidents(c.Context)
	if err != nil {
		return err
	}
	kept := make([]api.Incident, 0, len(list.Incidents))
	for _, in := range list.Incidents {
		if group == "" || in.Group == group {
			kept = append(kept, in)
		}
	}
	if list.Incidents = kept; format == formatJSON {
		return p.json(list)
	}
	p.printf("%s", p.incidentsView(list.Incidents))
	if list.Skipped > 0 {
		p.warn("%d transitions came too fast to be recorded each; `vipctl history` has them", list.Skipped)
	}
	if list.Unsaved != "" {
		p.warn("incidents are not on disk and would be lost with vipd: %s", list.Unsaved)
	}
	return nil
}

func (p *program) incidentsView(all []api.Incident) string {
	if len(all) == 0 {
		return "Nothing is recorded yet; an incident is frozen at every transition.\n"
	}
	var t table
	header := make([]cell, 0, 8)
	for _, s := range []string{"ID", "TIME", "GROUP", "FROM", "TO", "REASON", "CAUSE", "FRAMES"} {
		header = append(header, plain(s))
	}
	t.add(header...)
	for i := range all {
		in := &all[i]
		reason := in.Reason
		if in.Transitions > 1 {
			reason += fmt.Sprintf(" +%d", in.Transitions-1)
		}
		t.add(plain(strconv.FormatUint(in.ID, 10)), plain(p.clock(in.Time)), plain(in.Group), plain(in.From),
			cell{in.To, stateColour(in.To)}, plain(reason), plain(causeText(in.Cause)), plain(strconv.Itoa(in.Frames)))
	}
	return t.String(p.colour)
}

func (p *program) clock(t time.Time) string {
	return t.In(p.env.Now().Location()).Format("2006-01-02 15:04:05.000")
}

// incident finds the one that is meant: by number, or the newest, of a group or of all.
func (p *program) incident(c *cli.Context) (uint64, error) {
	which, err := optional(c, "ID|GROUP")
	if err != nil {
		return 0, err
	}
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
		return 0, errors.New("nothing is recorded yet; an incident is frozen at every transition")
	}
	return 0, fmt.Errorf("there is no incident of %s; `vipctl record list` shows all", which)
}

func (p *program) recordShow(c *cli.Context) error {
	id, err := p.incident(c)
	if err != nil {
		return err
	}
	format, err := oneOf(c, "output", formatTable, formatJSON)
	if err != nil {
		return err
	}
	if format == formatJSON {
		raw, err := p.client(c).RawIncident(c.Context, id)
		if err != nil {
			return err
		}
		return p.raw(raw)
	}
	in, err := p.client(c).Incident(c.Context, id)
	if err != nil {
		return err
	}
	p.printf("%s", p.story(&in))
	return nil
}

// story is an incident for people.
func (p *program) story(in *api.Incident) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Incident %d: %s %s -> %s (%s)\n", in.ID, in.Group, in.From, in.To, in.Reason)
	fmt.Fprintf(&b, "on %s at %s", in.Node, in.Time.In(p.env.Now().Location()).Format("2006-01-02 15:04:05.000000000 -07:00"))
	if in.Cause != nil {
		fmt.Fprintf(&b, ", caused by %s", causeText(in.Cause))
	}
	fmt.Fprintf(&b, "\n%d frames", in.Frames)
	if in.Missed > 0 {
		fmt.Fprintf(&b, "; %d of the group were beyond what is recorded since vipd started", in.Missed)
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

// recordLine is one record, after a time.
func (p *program) recordLine(r *api.Record, at string) string {
	if r.Kind == api.RecordTransition {
		return paint(cell{fmt.Sprintf("%s  = %s", at, r.Text), stateColour(r.Transition.To)}, p.colour)
	}
	arrow := "<"
	if r.Direction == "out" {
		arrow = ">"
	}
	line := fmt.Sprintf("%s  %s %s", at, arrow, r.Text)
	if r.LagSeconds != nil && *r.LagSeconds > 0.01 {
		line += fmt.Sprintf(" (vipd had it after %s)", span(*r.LagSeconds))
	}
	switch {
	case r.Cause:
		return paint(cell{line + "  <- this caused the transition", yellow}, p.colour)
	case r.Kind == "rejected" || r.Kind == "foreign_vrrp":
		return paint(cell{line, red}, p.colour)
	}
	return line
}

func (p *program) recordExport(c *cli.Context) error {
	id, err := p.incident(c)
	if err != nil {
		return err
	}
	format, err := oneOf(c, "output", formatPcapng, formatJSON)
	if err != nil {
		return err
	}
	path := c.String("write")
	if path == "" {
		return usagef("-w FILE is missing: where to write to, or - for the standard output")
	}
	in, err := p.client(c).Incident(c.Context, id)
	if err != nil {
		return err
	}
	err = p.write(path, func(w io.Writer) error {
		if format == formatPcapng {
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

// write makes a file for root alone: frames hold digests. A terminal is no place for
// binary data, and half a file is removed.
func (p *program) write(path string, fill func(io.Writer) error) error {
	if path == "-" {
		if p.tty {
			return errors.New("the capture would go to the terminal; name a file with -w FILE, or pipe it: vipctl ... -w - | tshark -r -")
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
