// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"log/slog"
	"time"
)

// DefaultDir is where maps and links are pinned unless the options say otherwise.
const DefaultDir = "/sys/fs/bpf/vipd"

// Bounds of the tables, unless the options lower or raise them. Each CPU pays 256
// bytes of counters a group and 128 a VIP, the host about 4 KiB a group.
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
	// Adopt takes over what an earlier vipd of the same layout left pinned, instead of
	// removing it. See [Dataplane.Pinned].
	Adopt bool
	// Evacuate is called with the addresses that an earlier vipd left fenced, before
	// Open removes the fence because it cannot be adopted: take them off their
	// interfaces. Default: nothing.
	Evacuate func([]LeftVIP)
	// ForceClsact uses clsact for egress, as on kernels before 6.6.
	ForceClsact bool
	// MaxGroups and MaxVIPs bound the tables. 0 means the default.
	MaxGroups, MaxVIPs int

	// slotRest is for tests: how long the XDP slot that was another's has to be free.
	slotRest time.Duration
	// singleBuffer is for tests: as on a kernel before 5.18.
	singleBuffer bool
}

func (o Options) withDefaults() Options {
	if o.Dir == "" {
		o.Dir = DefaultDir
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Evacuate == nil {
		o.Evacuate = func([]LeftVIP) {}
	}
	if o.MaxGroups <= 0 {
		o.MaxGroups = DefaultMaxGroups
	}
	if o.MaxVIPs <= 0 {
		o.MaxVIPs = DefaultMaxVIPs
	}
	if o.slotRest <= 0 {
		o.slotRest = slotRest
	}
	return o
}
