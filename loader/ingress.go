// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"maps"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// Where the XDP slot of an interface is another's, the same C code runs as a tc program
// on ingress. It is loaded only then.

// ingress loads the program, once, on the maps of the others.
func (d *Dataplane) ingress() (*ebpf.Program, error) {
	if d.ingressProg != nil {
		return d.ingressProg, nil
	}
	s, err := loadIngress()
	if err != nil {
		return nil, fmt.Errorf("read the embedded ingress program: %w", err)
	}
	shared, err := d.shared(s)
	if err != nil {
		return nil, fmt.Errorf("load the ingress program: %w", err)
	}
	var objs ingressPrograms
	if err := d.loadInto(&objs, s, shared); err != nil {
		return nil, fmt.Errorf("load the ingress program: %w", err)
	}
	d.ingressProg = objs.VipdIngress
	return d.ingressProg, nil
}

// shared are our maps under the names that another collection has for them; its constants are its own.
func (d *Dataplane) shared(s *ebpf.CollectionSpec) (map[string]*ebpf.Map, error) {
	const constants = ".rodata"
	all, shared := d.allMaps(), make(map[string]*ebpf.Map)
	for name := range s.Maps {
		m, ok := all[name]
		switch {
		case ok:
			s.Maps[name].MaxEntries = m.MaxEntries()
			shared[name] = m
		case name != constants:
			return nil, fmt.Errorf("it has a map %s of its own", name)
		}
	}
	return shared, nil
}

// allMaps are those of maps and the ones that are not pinned.
func (d *Dataplane) allMaps() map[string]*ebpf.Map {
	all := d.maps()
	o := &d.objs
	maps.Copy(all, map[string]*ebpf.Map{
		bpfMapScratch: o.Scratch, bpfMapClock: o.Clock, bpfMapPlaces: o.Places, bpfMapVipPlaces: o.VipPlaces, bpfMapTap: o.Tap,
		bpfMapTapUsed: o.TapUsed, bpfMapTapLost: o.TapLost, bpfMapTapCapture: o.TapCapture, bssName: d.bss,
	})
	return all
}

// attachIngress puts it first on the hook, by tcx (kernel 6.6) or clsact.
func (d *Dataplane) attachIngress(a *attachment, ifindex int) error {
	p, err := d.ingress()
	if err != nil {
		return err
	}
	if !d.opts.ForceClsact {
		l, err := link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: p, Attach: ebpf.AttachTCXIngress, Anchor: link.Head()})
		if err == nil {
			if err := l.Pin(d.linkPin(ifindex, "ingress")); err != nil {
				return errors.Join(fmt.Errorf("pin the ingress link of %s: %w", a.ifname, err), dropLink(l))
			}
			a.in, a.Mode = l, ModeTCX
			a.owner = slotOwner(ifindex)
			return nil
		}
		if !errors.Is(err, ebpf.ErrNotSupported) {
			return fmt.Errorf("attach the ingress program to %s: %w", a.ifname, err)
		}
	}
	if err := d.addClsact(ifindex, ifaceIngress); err != nil {
		return err
	}
	if err := addFilter(ifindex, netlink.HANDLE_MIN_INGRESS, p); err != nil {
		return fmt.Errorf("attach the ingress program to %s as a clsact filter: %w", a.ifname, err)
	}
	a.filter, a.Mode = true, ModeClsact
	a.owner = slotOwner(ifindex)
	return nil
}

// standsIn says whether something is there in the place of XDP, or beside it for a moment.
func (a *attachment) standsIn() bool { return a.in != nil || a.filter }

// dropIngress takes off what stood in for XDP.
func (d *Dataplane) dropIngress(a *attachment, ifindex int) error {
	err := dropLink(a.in)
	if a.filter {
		_, e := removeFilterFrom(ifindex, netlink.HANDLE_MIN_INGRESS)
		err = errors.Join(err, e)
	}
	a.in, a.filter = nil, false
	return errors.Join(err, d.clearFlags(ifindex, ifaceIngress|ifaceBoth))
}

// dropLeftIngress does the same for a vipd that died before it could.
func (d *Dataplane) dropLeftIngress(ifindex int, flags uint32) error {
	left := &attachment{filter: flags&ifaceIngress != 0}
	if pin := d.linkPin(ifindex, "ingress"); exists(pin) {
		if err := removePinnedLink(pin); err != nil {
			return err
		}
	} else if !left.filter && flags&ifaceBoth == 0 {
		return nil
	}
	return d.dropIngress(left, ifindex)
}

// adoptIngress takes over what stands in for XDP on an interface.
func (d *Dataplane) adoptIngress(a *attachment, ifindex int, flags uint32) error {
	pinned := exists(d.linkPin(ifindex, "ingress"))
	if !pinned && flags&ifaceIngress == 0 {
		return nil
	}
	p, err := d.ingress()
	if err == nil {
		err = d.clearFlags(ifindex, ifaceBoth)
	}
	if err != nil {
		return err
	}
	if pinned {
		if a.in, err = d.adoptLink(ifindex, "ingress", p); err != nil || a.in != nil {
			a.Mode = ModeTCX
		}
		return err
	}
	replaced, err := replaceFilter(ifindex, netlink.HANDLE_MIN_INGRESS, p)
	if replaced {
		a.filter, a.Mode = true, ModeClsact
	}
	return err
}
