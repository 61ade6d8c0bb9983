// SPDX-License-Identifier: Apache-2.0

package object

import (
	"fmt"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// So many senders per group are remembered, and never fewer in total than leastSources.
const (
	sourcesPerGroup = 16
	leastSources    = 4096
)

// resize gives the maps that have entries per group, address or sender their sizes.
func (o Options) resize(s *ebpf.CollectionSpec) {
	groups, vips := uint32(o.MaxGroups), uint32(o.MaxVIPs)
	for name, n := range map[string]uint32{
		BPFMapAuth:       2 * groups,
		BPFMapBudget:     groups,
		BPFMapGroupStats: groups,
		BPFMapGroups:     groups,
		BPFMapHeard:      2 * groups,
		BPFMapRoles:      groups,
		BPFMapSeen:       groups,
		BPFMapPeers:      max(leastSources, sourcesPerGroup*groups),
		BPFMapSources:    max(leastSources, sourcesPerGroup*groups),
		BPFMapTapCapture: groups,
		BPFMapTapUsed:    groups,
		BPFMapVipStats:   vips,
		BPFMapVips:       vips,
	} {
		s.Maps[name].MaxEntries = n
	}
}

// sizedAsPinned returns the options with the sizes of the pinned maps in dir, which may be larger or smaller than those
// of new ones. It is an error if they have no room for what is needed.
func (o Options) sizedAsPinned(dir string) (Options, error) {
	var err error
	if o.MaxGroups, err = pinnedSize(dir, BPFMapGroups); err != nil {
		return o, err
	}
	if o.MaxVIPs, err = pinnedSize(dir, BPFMapVips); err != nil {
		return o, err
	}
	if o.Groups > o.MaxGroups || o.VIPs > o.MaxVIPs {
		return o, fmt.Errorf("the pinned maps have room for %d groups and %d addresses, and the config has %d and %d",
			o.MaxGroups, o.MaxVIPs, o.Groups, o.VIPs)
	}
	return o, nil
}

func pinnedSize(dir, name string) (int, error) {
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return 0, fmt.Errorf("open the pinned map %s: %w", name, err)
	}
	return int(m.MaxEntries()), m.Close()
}
