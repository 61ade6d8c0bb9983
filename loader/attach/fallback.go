// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"vipd/loader/object"
)

// A driver may count frames of native mode as sent and lose them. Clients that ask again and again show it. Then the
// NIC is served on tc ingress, until its programs are removed: the flag in the entry of the interface outlives a
// restart.

const whyUnseen = "native mode was given up: clients did not see its answers"

// ErrNativeOnly means that the config demands native mode.
var ErrNativeOnly = errors.New(`clients do not see the answers of native mode: set [xdp] mode = "auto" or "tc"`)

// FallBack moves the NIC of an interface from native mode to tc ingress, since clients do not see its answers. It
// returns what is attached then, by interface index; nothing if native mode is not in use, and [ErrNativeOnly] if the
// config demands it.
func (h *Hooks) FallBack(ifindex int) (map[int]Attachment, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, object.ErrClosed
	}
	a := h.repairable(ifindex)
	if a == nil || a.Mode != ModeNative {
		return nil, nil
	}
	if a.want == ModeNative {
		return nil, fmt.Errorf("%s: %w", a.ifname, ErrNativeOnly)
	}
	nic := ifindex
	if a.vlan.parent != 0 {
		nic = a.vlan.parent
	}
	h.resets.note(nic)
	defer h.resets.note(nic)
	out := make(map[int]Attachment)
	var errs []error
	// VLAN devices first: the program of the NIC serves them.
	for _, at := range append(h.servedBy(nic), nic) {
		a := h.repairable(at)
		if a == nil || a.Mode != ModeNative {
			continue
		}
		if err := h.fallBack(a, at); err != nil {
			errs = append(errs, fmt.Errorf("move %s to tc ingress: %w", a.ifname, err))
			continue
		}
		out[at] = a.shown()
	}
	return out, errors.Join(errs...)
}

// servedBy lists the VLAN devices that the program of a NIC serves.
func (h *Hooks) servedBy(nic int) []int {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(h.attached)), func(at int) bool {
		return h.attached[at].vlan.parent != nic
	})
}

// fallBack attaches tc ingress before XDP is detached: in between, a frame meets one of them or both, never none.
func (h *Hooks) fallBack(a *attachment, ifindex int) error {
	if err := h.noteFlag(ifindex, ifaceFellBack|ifaceBoth); err != nil {
		return err
	}
	if err := h.attachIngress(a, ifindex); err != nil {
		return errors.Join(err, h.clearFlags(ifindex, ifaceFellBack|ifaceBoth))
	}
	err := errors.Join(dropLink(a.xdp), h.uncarry(a), h.clearFlags(ifindex, ifaceBoth))
	a.xdp, a.Parent, a.Note, a.FellBack = nil, "", whyUnseen, FellBackUnseen
	a.stays, a.owner = true, 0
	return err
}
