// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// An interface that gets its frames from another interface of the same kernel gets them without their VLAN tag: the
// kernel keeps the tag beside the frame from the lower interface on, whatever the offloads. XDP sees only the frame, so
// a frame of a VLAN would look untagged. A program on tc ingress sees the tag.

// untagged returns the reason why XDP on the interface cannot tell VLANs apart; nil if it can.
func untagged(l netlink.Link) error {
	switch kind := l.Type(); kind {
	case "bond", "bridge", "ipvlan", "macvlan", "openvswitch", "team":
		return fmt.Errorf("no xdp on a %s, which gets frames without their VLAN tag", kind)
	}
	return nil
}

// seeingTags returns the ways on an interface whose offloads stay on. Native mode alone is what the config demands: it
// is correct as long as there is no VLAN on that wire.
func (h *Hooks) seeingTags(a *attachment, ways []way, hidden error) []way {
	if a.want == ModeNative {
		h.opts.Log.Warn("frames of vlans look untagged to the data plane", "interface", a.ifname, "err", hidden)
		ways[0].why = fmt.Sprintf("frames of vlans look untagged: %v", hidden)
		return ways
	}
	return []way{{mode: ModeTC, why: hidden.Error()}}
}
