// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"log/slog"
	"time"

	"vipd/loader/attach"
	"vipd/loader/object"
	"vipd/loader/tables"
)

// DefaultDir is where maps and links are pinned by default.
const DefaultDir = "/sys/fs/bpf/vipd"

// The smallest sizes of new tables. Counters take about 350 bytes per group and 128 per VIP on each CPU; everything
// else takes about 6 KiB per group and 100 bytes per VIP.
const (
	leastGroups = 256
	leastVIPs   = 1024
)

// Options for the data plane. The zero value is usable.
type Options struct {
	// Dir is the directory for pins, on a bpf file system. Default [DefaultDir].
	Dir string
	// Log receives lifecycle messages. Default: none.
	Log *slog.Logger
	// Adopt adopts what an earlier vipd of the same layout left pinned, instead of removing it. See Pinned.
	Adopt bool
	// Defer makes Open adopt only the maps: the programs of the earlier vipd continue until [Dataplane.Exchange], since
	// the verifier takes long.
	Defer bool
	// Evacuate is called with the addresses that an earlier vipd left fenced, before Open removes a fence that it cannot
	// adopt: remove them from their interfaces. Default: nothing.
	Evacuate func([]tables.LeftVIP)
	// ForceClsact uses clsact for egress, as on kernels before 6.6.
	ForceClsact bool
	// Groups and VIPs are how many the config has. New tables have room for more, so that a reload can add some. Those of
	// an earlier vipd are adopted if they have room for as many.
	Groups, VIPs int
	// MaxGroups and MaxVIPs are the exact sizes of new tables, for tests. 0 means what Groups and VIPs need.
	MaxGroups, MaxVIPs int
	// SlotRest is how long an XDP slot that another program used must be free before vipd takes it. 0 means ten seconds.
	SlotRest time.Duration
	// SingleBuffer loads programs as on a kernel before 5.18, for tests.
	SingleBuffer bool
	// Aside runs what keeps a processor busy for long, where it does not delay others: the verifier. It returns the error
	// of work, or why that was not run. Default: on the calling thread.
	Aside func(work func() error) error
}

func (o Options) withDefaults() Options {
	if o.Dir == "" {
		o.Dir = DefaultDir
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Evacuate == nil {
		o.Evacuate = func([]tables.LeftVIP) {}
	}
	if o.MaxGroups <= 0 {
		o.MaxGroups = room(o.Groups, leastGroups)
	}
	if o.MaxVIPs <= 0 {
		o.MaxVIPs = room(o.VIPs, leastVIPs)
	}
	return o
}

func (o Options) set() object.Options {
	return object.Options{
		Log: o.Log, MaxGroups: o.MaxGroups, MaxVIPs: o.MaxVIPs, Groups: o.Groups, VIPs: o.VIPs,
		SingleBuffer: o.SingleBuffer, Aside: o.Aside,
	}
}

func (o Options) hooks() attach.Options {
	return attach.Options{Dir: o.Dir, Log: o.Log, ForceClsact: o.ForceClsact, SlotRest: o.SlotRest}
}

func (o Options) tables() tables.Options {
	return tables.Options{Log: o.Log}
}

// room returns the size of a new table for n entries: a quarter more, in steps of 64.
func room(n, least int) int {
	const step = 64
	return max(least, (n+n/4+step-1)/step*step)
}
