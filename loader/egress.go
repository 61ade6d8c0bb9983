// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// filterName is what the clsact filter is found by: unlike a link it has no pin.
const filterName = "vipd"

// Bits of iface.flags in bpf/vipd_types.h.
const (
	ifaceClsactFilter = 1
	ifaceClsactQdisc  = 2
	ifaceRXVLAN       = 4
	ifaceCarrier      = 8
	ifaceIngress      = 16
	ifaceRXSTag       = 32
	ifaceBoth         = 64
)

// attachEgress prefers tcx (kernel 6.6). First on the hook: a program before us that
// ends the chain with "ok" would leave the fence open.
func (d *Dataplane) attachEgress(a *attachment, ifindex int) error {
	if !d.opts.ForceClsact {
		l, err := link.AttachTCX(link.TCXOptions{
			Interface: ifindex, Program: d.objs.VipdEgress, Attach: ebpf.AttachTCXEgress, Anchor: link.Head(),
		})
		if err == nil {
			a.tcx, a.Egress = l, EgressTCX
			if err := l.Pin(d.linkPin(ifindex, "egress")); err != nil {
				return fmt.Errorf("pin the egress link of %s: %w", a.ifname, err)
			}
			return nil
		}
		if !errors.Is(err, ebpf.ErrNotSupported) {
			return fmt.Errorf("attach the egress program to %s: %w", a.ifname, err)
		}
	}
	a.Egress = EgressClsact
	return d.attachClsact(a, ifindex)
}

func (d *Dataplane) attachClsact(a *attachment, ifindex int) error {
	if err := d.addClsact(ifindex, ifaceClsactFilter); err != nil {
		return err
	}
	if err := addFilter(ifindex, netlink.HANDLE_MIN_EGRESS, d.objs.VipdEgress); err != nil {
		return fmt.Errorf("attach the egress program to %s as a clsact filter: %w", a.ifname, err)
	}
	return nil
}

// addClsact makes sure of the qdisc, and notes it and what filter is going to be there,
// so that a crash between the two leaves a trace.
func (d *Dataplane) addClsact(ifindex int, flags uint32) error {
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
	switch err := netlink.QdiscAdd(qdisc); {
	case err == nil:
		flags |= ifaceClsactQdisc
	case !errors.Is(err, unix.EEXIST):
		return fmt.Errorf("add a clsact qdisc to interface %d: %w", ifindex, err)
	}
	return d.noteFlag(ifindex, flags)
}

// addFilter puts a program on one of clsact's two sides, in the place of an old one.
func addFilter(ifindex int, side uint32, p *ebpf.Program) error {
	if _, err := removeFilterFrom(ifindex, side); err != nil {
		return err
	}
	return netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex, Parent: side, Handle: 1, Protocol: unix.ETH_P_ALL,
			Priority: 0, // the kernel then puts it before all others
		},
		Fd: p.FD(), Name: filterName, DirectAction: true,
	})
}

// replaceFilter puts another program into our filter, in one step. False: there is none.
func replaceFilter(ifindex int, side uint32, p *ebpf.Program) (bool, error) {
	filters, err := netlink.FilterList(linkIndex(ifindex), side)
	if goneDevice(err) || noClsact(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("list its filters: %w", err)
	}
	for _, f := range filters {
		b, ok := f.(*netlink.BpfFilter)
		if !ok || b.Name != filterName {
			continue
		}
		next := &netlink.BpfFilter{FilterAttrs: b.FilterAttrs, Fd: p.FD(), Name: filterName, DirectAction: true}
		if err := netlink.FilterReplace(next); err != nil {
			return false, fmt.Errorf("replace its filter: %w", err)
		}
		return true, nil
	}
	return false, nil
}

// removeClsact takes the filter off and the qdisc, too, if it is ours and empty.
func removeClsact(ifindex int, flags uint32) error {
	if _, err := removeFilter(ifindex); err != nil {
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

// removeFilter removes our filters from an interface by their name, what answers first,
// and counts them.
func removeFilter(ifindex int) (int, error) {
	in, err := removeFilterFrom(ifindex, netlink.HANDLE_MIN_INGRESS)
	if err != nil {
		return in, err
	}
	out, err := removeFilterFrom(ifindex, netlink.HANDLE_MIN_EGRESS)
	return in + out, err
}

func removeFilterFrom(ifindex int, side uint32) (int, error) {
	filters, err := netlink.FilterList(linkIndex(ifindex), side)
	if goneDevice(err) || noClsact(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("list the filters of interface %d: %w", ifindex, err)
	}
	n := 0
	for _, f := range filters {
		b, ok := f.(*netlink.BpfFilter)
		if !ok || b.Name != filterName {
			continue
		}
		if err := netlink.FilterDel(b); err != nil {
			return n, fmt.Errorf("remove the filter %s of interface %d: %w", filterName, ifindex, err)
		}
		n++
	}
	return n, nil
}

// noClsact is what the list of filters of an interface without that qdisc says.
func noClsact(err error) bool { return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) }

func goneDevice(err error) bool {
	return errors.Is(err, unix.ENODEV)
}

// linkIndex is a link of which only the index is known, as netlink wants it.
func linkIndex(ifindex int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}
}
