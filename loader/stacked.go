// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// An interface that gets its frames from another one of the same kernel gets them
// without their VLAN tag: the kernel keeps the tag beside the frame from the lower
// interface on, whatever its offloads. XDP sees the frame alone, so what is said on a
// VLAN would look as if it was said on the untagged network. A program on tc ingress
// sees the tag.

// untagged says why XDP on the interface cannot tell VLANs apart; "" if it can. The error
// is for an interface that cannot be served in any way.
func untagged(ifindex int) (string, error) {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return "", fmt.Errorf("look up interface %d: %w", ifindex, err)
	}
	if err := refuseTagged(l); err != nil {
		return "", err
	}
	switch kind := l.Type(); kind {
	case "bond", "bridge", "ipvlan", "macvlan", "openvswitch", "team":
		return fmt.Sprintf("no xdp on a %s, which gets frames without their VLAN tag", kind), nil
	}
	return "", nil
}

// seeingTags are the ways on an interface that goes on taking tags out of frames. Native
// mode alone is what somebody insists on: right as long as no VLAN is on that wire.
func (d *Dataplane) seeingTags(a *attachment, ways []way, hidden error) []way {
	if ways[0].mode == ModeTCX {
		return ways // it does see them
	}
	if len(ways) == 1 && ways[0].mode == ModeNative {
		d.opts.Log.Warn("frames of vlans look untagged to the data plane", "interface", a.ifname, "err", hidden)
		ways[0].why = fmt.Sprintf("frames of vlans look untagged: %v", hidden)
		return ways
	}
	return []way{{mode: ModeTCX, why: hidden.Error()}}
}
