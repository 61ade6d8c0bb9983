// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Bits of iface.flags in bpf/vipd_types.h.
const (
	ifaceClsactFilter = 1
	ifaceClsactQdisc  = 2
	ifaceRXVLAN       = 4
	ifaceCarrier      = 8
	ifaceIngress      = 16
	ifaceRXSTag       = 32
	ifaceBoth         = 64
	ifaceFellBack     = 128
)

// attachEgress prefers tcx (kernel 6.6). Our program goes first: a program before it that ends the chain with "ok"
// would leave the fence open.
func (h *Hooks) attachEgress(a *attachment, ifindex int) error {
	if !h.opts.ForceClsact {
		l, err := link.AttachTCX(link.TCXOptions{
			Interface: ifindex, Program: h.set.VipdEgress, Attach: ebpf.AttachTCXEgress, Anchor: link.Head(),
		})
		if err == nil {
			a.tcx, a.Egress = l, EgressTCX
			if err := l.Pin(h.linkPin(ifindex, "egress")); err != nil {
				return fmt.Errorf("pin the egress link of %s: %w", a.ifname, err)
			}
			return nil
		}
		if !errors.Is(err, ebpf.ErrNotSupported) {
			return fmt.Errorf("attach the egress program to %s: %w", a.ifname, err)
		}
	}
	a.Egress = EgressClsact
	return h.attachClsact(a, ifindex)
}

func (h *Hooks) attachClsact(a *attachment, ifindex int) error {
	if err := h.addClsact(ifindex, ifaceClsactFilter); err != nil {
		return err
	}
	if err := h.addFilter(ifindex, netlink.HANDLE_MIN_EGRESS, h.set.VipdEgress); err != nil {
		return fmt.Errorf("attach the egress program to %s as a clsact filter: %w", a.ifname, err)
	}
	return nil
}

// addClsact adds the qdisc if it is missing, and records it and the coming filter, so that a crash between the two
// leaves a trace.
func (h *Hooks) addClsact(ifindex int, flags uint32) error {
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
	switch err := netlink.QdiscAdd(qdisc); {
	case err == nil:
		flags |= ifaceClsactQdisc
	case !errors.Is(err, unix.EEXIST):
		return fmt.Errorf("add a clsact qdisc to interface %d: %w", ifindex, err)
	}
	return h.noteFlag(ifindex, flags)
}

// removeClsact removes the filter, and the qdisc if vipd added it and it is empty.
func (f filterName) removeClsact(ifindex int, flags uint32) error {
	if _, err := f.removeAll(ifindex); err != nil {
		return err
	}
	if flags&ifaceClsactQdisc == 0 {
		return nil
	}
	dev := linkIndex(ifindex)
	for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		filters, err := netlink.FilterList(dev, parent)
		if goneDevice(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list the filters of interface %d: %w", ifindex, err)
		}
		if len(filters) > 0 {
			return nil
		}
	}
	err := netlink.QdiscDel(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}})
	if err != nil && !goneDevice(err) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove the clsact qdisc of interface %d: %w", ifindex, err)
	}
	return nil
}

// noClsact reports whether listing filters failed because the interface has no clsact qdisc.
func noClsact(err error) bool { return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) }

func goneDevice(err error) bool {
	return errors.Is(err, unix.ENODEV)
}

// linkIndex returns a link for netlink of which only the index is known.
func linkIndex(ifindex int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}
}
