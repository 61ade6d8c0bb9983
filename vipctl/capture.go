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
		Usage:     "show live what XDP does for a group, including what tcpdump cannot see",
		UsageText: "vipctl capture [-w FILE] [--count N] [--for TIME] [-o table|json] GROUP",
		ArgsUsage: "GROUP",
		Description: example(
			"Shows advertisements with their verdict, ARP and ND with XDP's answers, rejected and dropped frames, and\n"+
				"transitions, until Ctrl-C. With -w FILE it writes pcapng, each frame with a comment; -w - writes to standard\n"+
				"output. Only root may capture. Frames beyond vipd's budget, or not read in time, are counted as lost.",
			"vipctl capture eth0@1",
			"vipctl capture eth0@1 -w arp.pcapng --for 1m",
			"vipctl capture eth0@1 -w - | wireshark -k -i -",
		),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "write", Aliases: []string{"w"}, Usage: "write pcapng to `FILE`, - for standard output"},
			&cli.IntFlag{Name: "count", Usage: "end after `N` frames", DefaultText: "never"},
			&cli.DurationFlag{Name: "for", Usage: "end after `TIME`, such as 30s", DefaultText: "never"},
			tableOrJSON(),
		},
		BashComplete: p.completeGroups,
		Action:       withArguments(p.capture),
	}
}

// errEnough ends a capture when --count is reached.
var errEnough = errors.New("captured the requested number of frames")

// capturing is one run of the command.
type capturing struct {
	p      *program
	json   bool
	limit  int            // 0 means none
	out    io.Writer      // nil means lines of text on stdout
	file   *pcapng.Writer // writes to out
	begun  bool
	frames int
	lost   uint64
	end    string // why vipd ended the capture
}

func (p *program) capture(c *cli.Context, args []string) error {
	count, last := c.Int("count"), c.Duration("for")
	if count < 0 || count == 0 && c.IsSet("count") {
		return usagef("--count %d is not allowed; allowed are numbers from 1", count)
	}
	if last < 0 || last == 0 && c.IsSet("for") {
		return usagef("--for %v is not allowed; allowed are times such as 30s", last)
	}
	k := &capturing{p: p, json: wantsJSON(c), limit: count}
	path := c.String("write")
	if path == "" {
		return k.run(c, args[0], last)
	}
	var ended error
	err := p.write(path, func(w io.Writer) error {
		k.out = w
		err := k.run(c, args[0], last)
		if k.begun { // keep the file: what it has is complete
			ended, err = err, nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return ended
}

// run streams until the flags, Ctrl-C or vipd end the capture, and reports the totals.
func (k *capturing) run(c *cli.Context, group string, last time.Duration) error {
	ctx := c.Context
	if last > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, last)
		defer cancel()
	}
	err := k.p.client(c).Capture(ctx, group, k.line)
	if !k.begun {
		return k.p.groupError(c, group, err)
	}
	if errors.Is(err, errEnough) {
		err = nil
	}
	if k.file != nil {
		if failed := k.file.Flush(); err == nil { // else it returns the same error again
			err = failed
		}
	}
	k.p.warn("%d frames captured, %d lost", k.frames, k.lost)
	if k.end != "" {
		return errors.New("vipd ended the capture: " + k.end)
	}
	return err
}

func (k *capturing) line(raw []byte) error {
	var l api.CaptureLine
	if err := decode(raw, "the capture", &l); err != nil {
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
	if err := k.file.Interface(b.Interface); err != nil {
		return err
	}
	return k.file.Flush()
}

func (k *capturing) record(r *api.Record, raw []byte) error {
	switch {
	case k.file != nil:
		if err := k.file.Write(r); err != nil {
			return err
		}
		if err := k.file.Flush(); err != nil {
			return err
		}
	case k.json:
		k.p.printf("%s\n", raw)
	default:
		k.p.printf("%s\n", k.p.recordLine(r, k.p.clock(r.Time, "15:04:05.000000")))
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
