// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// Where the driver has no native mode, or another program has the XDP slot, the same C code runs as a tc program on
// ingress. It is loaded only then. If XDP is to take over from it later, it is a stand-in.

// attachIngress attaches the stand-in as the first program on the hook, by tcx (kernel 6.6) or clsact.
func (h *Hooks) attachIngress(a *attachment, ifindex int) error {
	p, err := h.set.Ingress()
	if err != nil {
		return err
	}
	if !h.opts.ForceClsact {
		l, err := link.AttachTCX(
			link.TCXOptions{Interface: ifindex, Program: p, Attach: ebpf.AttachTCXIngress, Anchor: link.Head()},
		)
		if err == nil {
			if err := l.Pin(h.linkPin(ifindex, "ingress")); err != nil {
				return errors.Join(fmt.Errorf("pin the ingress link of %s: %w", a.ifname, err), dropLink(l))
			}
			a.in, a.Mode = l, ModeTC
			a.owner = slotOwner(ifindex)
			return nil
		}
		if !errors.Is(err, ebpf.ErrNotSupported) {
			return fmt.Errorf("attach the ingress program to %s: %w", a.ifname, err)
		}
	}
	if err := h.addClsact(ifindex, ifaceIngress); err != nil {
		return err
	}
	if err := h.addFilter(ifindex, netlink.HANDLE_MIN_INGRESS, p); err != nil {
		return fmt.Errorf("attach the ingress program to %s as a clsact filter: %w", a.ifname, err)
	}
	a.filter, a.Mode = true, ModeTC
	a.owner = slotOwner(ifindex)
	return nil
}

// standsIn reports whether the stand-in is attached, instead of XDP or briefly beside it.
func (a *attachment) standsIn() bool { return a.in != nil || a.filter }

// dropIngress detaches the stand-in.
func (h *Hooks) dropIngress(a *attachment, ifindex int) error {
	err := dropLink(a.in)
	if a.filter {
		_, e := h.filters.removeFrom(ifindex, netlink.HANDLE_MIN_INGRESS)
		err = errors.Join(err, e)
	}
	a.in, a.filter = nil, false
	return errors.Join(err, h.clearFlags(ifindex, ifaceIngress|ifaceBoth))
}

// dropLeftIngress detaches the stand-in of a vipd that died before it could.
func (h *Hooks) dropLeftIngress(ifindex int, flags uint32) error {
	left := &attachment{filter: flags&ifaceIngress != 0}
	if pin := h.linkPin(ifindex, "ingress"); pinned(pin) {
		if err := RemovePinnedLink(pin); err != nil {
			return err
		}
	} else if !left.filter && flags&ifaceBoth == 0 {
		return nil
	}
	return h.dropIngress(left, ifindex)
}

// adoptIngress adopts the stand-in on an interface.
func (h *Hooks) adoptIngress(a *attachment, ifindex int, flags uint32) error {
	there := pinned(h.linkPin(ifindex, "ingress"))
	if !there && flags&ifaceIngress == 0 {
		return nil
	}
	p, err := h.set.Ingress()
	if err == nil {
		err = h.clearFlags(ifindex, ifaceBoth)
	}
	if err != nil {
		return err
	}
	if there {
		if a.in, err = h.adoptLink(ifindex, "ingress", p); err != nil || a.in != nil {
			a.Mode = ModeTC
		}
		return err
	}
	replaced, err := h.replaceFilter(ifindex, netlink.HANDLE_MIN_INGRESS, p)
	if replaced {
		a.filter, a.Mode = true, ModeTC
	}
	return err
}
