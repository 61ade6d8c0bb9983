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

// Default bounds of the tables. Counters take 256 bytes per group and 128 per VIP on each CPU; everything else takes
// about 4 KiB per group.
const (
	DefaultMaxGroups = 4096
	DefaultMaxVIPs   = 16384
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
	// MaxGroups and MaxVIPs bound the tables. 0 means the default.
	MaxGroups, MaxVIPs int
	// SlotRest is how long an XDP slot that another program used must be free before vipd takes it. 0 means ten seconds.
	SlotRest time.Duration
	// SingleBuffer loads programs as on a kernel before 5.18, for tests.
	SingleBuffer bool
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
		o.MaxGroups = DefaultMaxGroups
	}
	if o.MaxVIPs <= 0 {
		o.MaxVIPs = DefaultMaxVIPs
	}
	return o
}

func (o Options) set() object.Options {
	return object.Options{Log: o.Log, MaxGroups: o.MaxGroups, MaxVIPs: o.MaxVIPs, SingleBuffer: o.SingleBuffer}
}

func (o Options) hooks() attach.Options {
	return attach.Options{Dir: o.Dir, Log: o.Log, ForceClsact: o.ForceClsact, SlotRest: o.SlotRest}
}

func (o Options) tables() tables.Options {
	return tables.Options{Log: o.Log, MaxGroups: o.MaxGroups, MaxVIPs: o.MaxVIPs}
}
