// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
	"vipd/agent/control/api/pcapng"
)

func (p *program) captureCommand() *cli.Command {
	return &cli.Command{
		Name:      "capture",
		Usage:     "show live what XDP does for a group, also what tcpdump cannot see",
		UsageText: "vipctl capture [-w FILE] [--count N] [--for TIME] [-o table|json] GROUP",
		ArgsUsage: "GROUP",
		Description: example("Adverts with what became of them, ARP and ND with the answers that XDP gave, what was refused, dropped or kept from leaving,\n"+
			"and transitions, until Ctrl-C. With -w FILE as pcapng, each frame with a comment; -w - writes to the standard output.\n"+
			"For root only. What was more than vipd hands out, or was not read in time, is counted as lost.",
			"vipctl capture eth0@1", "vipctl capture eth0@1 -w arp.pcapng --for 1m", "vipctl capture eth0@1 -w - | wireshark -k -i -"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "write", Aliases: []string{"w"}, Usage: "write pcapng to `FILE`, - for the standard output"},
			&cli.IntFlag{Name: "count", Usage: "end after `N` frames", DefaultText: "never"},
			&cli.DurationFlag{Name: "for", Usage: "end after `TIME`, such as 30s", DefaultText: "never"},
			outputFlag(formatTable, formatJSON),
		},
		BashComplete: p.completeGroups,
		Action:       p.capture,
	}
}

// errEnough ends a capture as its flags want it.
var errEnough = errors.New("captured what was asked for")

// capturing is one run of the command.
type capturing struct {
	p      *program
	format string
	limit  int
	file   *pcapng.Writer // nil: lines of text
	out    io.Writer      // of file
	begun  bool
	frames int
	lost   uint64
	end    string
}

func (p *program) capture(c *cli.Context) error {
	args, err := arguments(c, "GROUP")
	if err != nil {
		return err
	}
	format, err := oneOf(c, "output", formatTable, formatJSON)
	if err != nil {
		return err
	}
	count, last := c.Int("count"), c.Duration("for")
	if count < 0 || count == 0 && c.IsSet("count") {
		return usagef("--count %d is not allowed; allowed are numbers from 1", count)
	}
	if last < 0 || last == 0 && c.IsSet("for") {
		return usagef("--for %v is not allowed; allowed are times such as 30s", last)
	}
	k := &capturing{p: p, format: format, limit: count}
	path := c.String("write")
	if path == "" {
		return k.run(c, args[0], last)
	}
	var ended error
	err = p.write(path, func(w io.Writer) error {
		k.out = w
		err := k.run(c, args[0], last)
		if k.begun { // what is in the file is whole, and worth more than nothing
			ended, err = err, nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return ended
}

// run streams until the flags, Ctrl-C or vipd end it, and tells what came of it.
func (k *capturing) run(c *cli.Context, group string, last time.Duration) error {
	ctx := c.Context
	if last > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, last)
		defer cancel()
	}
	err := k.p.client(c).Capture(ctx, group, k.line)
	if !k.begun {
		if e, ok := errors.AsType[*api.Error](err); ok && e.Code == api.CodeNoSuchGroup {
			return k.p.noSuchGroup(c, group)
		}
		return err
	}
	if k.file != nil {
		err = errors.Join(ignore(err, errEnough), k.file.Flush())
	}
	k.p.warn("%d frames captured, %d lost", k.frames, k.lost)
	if k.end != "" {
		return errors.New("vipd ended the capture: " + k.end)
	}
	return ignore(err, errEnough)
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

func (k *capturing) line(raw []byte) error {
	var l api.CaptureLine
	if err := understand(raw, "the capture", &l); err != nil {
		return err
	}
	switch {
	case l.Begin != nil:
		return k.begin(l.Begin)
	case l.Lost != nil:
		k.lost = *l.Lost
	case l.End != "":
		k.end = l.End
	case l.Record != nil:
		return k.record(l.Record, raw)
	}
	return nil
}

func (k *capturing) begin(b *api.CaptureBegin) error {
	k.begun = true
	if k.out == nil {
		return nil
	}
	k.file = pcapng.NewWriter(k.out, b.Node, b.Version, "capture of "+b.Group)
	return errors.Join(k.file.Interface(b.Interface), k.file.Flush())
}

func (k *capturing) record(r *api.Record, raw []byte) error {
	if k.file != nil {
		if err := errors.Join(k.file.Write(r), k.file.Flush()); err != nil {
			return err
		}
	} else if k.format == formatJSON {
		k.p.printf("%s\n", raw)
	} else {
		k.p.printf("%s\n", k.p.recordLine(r, r.Time.In(k.p.env.Now().Location()).Format("15:04:05.000000")))
	}
	if k.p.lost != nil {
		return k.p.lost
	}
	if r.Kind == api.RecordTransition {
		return nil
	}
	if k.frames++; k.limit > 0 && k.frames >= k.limit {
		return errEnough
	}
	return nil
}
