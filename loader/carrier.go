// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
)

// A VLAN device can be served by the XDP program of its parent, its carrier: the map of
// VLANs tells that program which device the tags of a frame mean. That is the only way
// to native XDP, for VLAN devices have none of their own. In generic mode the program
// sits on the VLAN device, where no offload of tags can hide anything from it.

// maxTags is how many the program looks behind.
const maxTags = 2

// vlanDevice is a VLAN device and the interface below all its tags.
type vlanDevice struct {
	key        bpfVlanKey // of its frames on the parent
	parent     int
	parentName string
}

var (
	errNoVLAN = errors.New("no VLAN device")
	errTagged = errors.New("it leaves the tags in its frames (reorder_hdr off)")
)

// refuseTagged is for a VLAN device on which frames keep their tags, both ways: what leaves
// would be taken for another network's by the fence, and what comes by the program.
func refuseTagged(l netlink.Link) error {
	// The kernel tells of no flags at all where none is set.
	if dev, ok := l.(*netlink.Vlan); ok && (dev.ReorderHdr == nil || !*dev.ReorderHdr) {
		name := l.Attrs().Name
		return fmt.Errorf("attach to %s: %w: set `ip link set dev %s type vlan reorder_hdr on`", name, errTagged, name)
	}
	return nil
}

// vlanOf resolves a VLAN device; errNoVLAN says that the interface is something else.
func vlanOf(ifindex int) (vlanDevice, error) {
	var v vlanDevice
	tags := 0
	for {
		l, err := netlink.LinkByIndex(ifindex)
		if err != nil {
			return v, fmt.Errorf("look up interface %d: %w", ifindex, err)
		}
		dev, ok := l.(*netlink.Vlan)
		if !ok {
			if tags == 0 {
				return v, errNoVLAN
			}
			v.parent, v.parentName, v.key.Ifindex = ifindex, l.Attrs().Name, uint32(ifindex)
			return v, nil
		}
		if tags == maxTags || dev.ParentIndex == 0 {
			return v, fmt.Errorf("%s has more than %d tags, or its parent is in another namespace", l.Attrs().Name, maxTags)
		}
		// From the inner tag to the outer.
		v.key.InnerProtoBe, v.key.Inner = v.key.OuterProtoBe, v.key.Outer
		v.key.OuterProtoBe, v.key.Outer = bigEndian(uint16(dev.VlanProtocol)), uint16(dev.VlanId)
		tags++
		ifindex = dev.ParentIndex
	}
}

// bigEndian is the field of a packet, as a number of this machine.
func bigEndian(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// carry makes the parent's program serve the VLAN device.
func (d *Dataplane) carry(a *attachment, ifindex int, v vlanDevice) error {
	p := d.attached[v.parent]
	switch {
	case p == nil:
		p = &attachment{ifname: v.parentName, carrier: true}
		d.attached[v.parent] = p
		if err := d.attachCarrier(p, v.parent); err != nil {
			return errors.Join(err, d.detach(v.parent))
		}
	case p.xdp == nil || p.Mode != ModeNative:
		return fmt.Errorf("xdp runs in mode %s on its parent %s", p.Mode, v.parentName)
	case !sitsOn(p.xdp, v.parent):
		if err := errors.Join(dropLink(p.xdp), d.attachXDP(p, v.parent, ModeNative)); err != nil {
			return err
		}
	}
	if err := d.noteParent(ifindex, v.parent); err != nil {
		return errors.Join(err, d.dropCarrier(v.parent))
	}
	if err := d.objs.Vlans.Put(v.key, uint32(ifindex)); err != nil {
		return errors.Join(fmt.Errorf("note the tags of %s: %w", a.ifname, err), d.dropCarrier(v.parent))
	}
	a.vlan, a.Parent, a.Mode = v, v.parentName, ModeNative
	return nil
}

func (d *Dataplane) attachCarrier(p *attachment, ifindex int) error {
	if err := d.noteInterface(ifindex, ifaceCarrier); err != nil {
		return err
	}
	wasOn, err := switchOff(d.nic, p.ifname)
	if wasOn != 0 {
		err = errors.Join(err, d.noteFlag(ifindex, wasOn))
	}
	if err != nil {
		return fmt.Errorf("its parent takes tags off before xdp sees them: %w", err)
	}
	return d.attachXDP(p, ifindex, ModeNative)
}

// dropCarrier lets go of a parent that is there for nobody any more.
func (d *Dataplane) dropCarrier(ifindex int) error {
	p := d.attached[ifindex]
	if p == nil || !p.carrier || d.carries(ifindex) {
		return nil
	}
	return d.detach(ifindex)
}

// carries says whether an interface is the parent of a VLAN device that it serves.
func (d *Dataplane) carries(ifindex int) bool {
	for _, a := range d.attached {
		if a.vlan.parent == ifindex {
			return true
		}
	}
	return false
}

// uncarry ends the service of the parent's program for a VLAN device.
func (d *Dataplane) uncarry(a *attachment) error {
	parent := a.vlan.parent
	if parent == 0 {
		return nil
	}
	err := d.objs.Vlans.Delete(a.vlan.key)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		err = nil
	}
	a.vlan = vlanDevice{}
	return errors.Join(err, d.dropCarrier(parent))
}

// onlyCarry takes from a parent what is there for its own groups.
func (d *Dataplane) onlyCarry(ifindex int, a *attachment) error {
	flags, err := d.flags(ifindex)
	if err != nil {
		return err
	}
	errs := []error{dropLink(a.tcx)}
	if flags&ifaceClsactFilter != 0 {
		errs = append(errs, removeClsact(ifindex, flags))
	}
	a.tcx, a.Egress, a.carrier, a.claimed = nil, "", true, false
	next := bpfIface{Flags: flags&^(ifaceClsactFilter|ifaceClsactQdisc) | ifaceCarrier}
	return errors.Join(append(errs, d.objs.Ifaces.Put(uint32(ifindex), next))...)
}

// noteParent remembers for whoever comes after us who serves a VLAN device.
func (d *Dataplane) noteParent(ifindex, parent int) error {
	key := uint32(ifindex)
	var v bpfIface
	if err := d.objs.Ifaces.Lookup(key, &v); err != nil {
		return fmt.Errorf("look up what was attached to interface %d: %w", ifindex, err)
	}
	v.Parent = uint32(parent)
	if err := d.objs.Ifaces.Put(key, v); err != nil {
		return fmt.Errorf("note what is attached to interface %d: %w", ifindex, err)
	}
	return nil
}

// adoptVLANs finds out which VLAN devices are served by which of the adopted parents.
// One of which that is not sure is attached anew.
func (d *Dataplane) adoptVLANs(parents map[int]int) error {
	var key bpfVlanKey
	var ifindex uint32
	var stale []bpfVlanKey
	it := d.objs.Vlans.Iterate()
	for it.Next(&key, &ifindex) {
		a, p := d.attached[int(ifindex)], d.attached[int(key.Ifindex)]
		v, err := vlanOf(int(ifindex))
		if a == nil || p == nil || p.xdp == nil || err != nil || v.key != key || parents[int(ifindex)] != v.parent {
			stale = append(stale, key)
			continue
		}
		a.vlan, a.Parent, a.Mode = v, v.parentName, p.Mode
	}
	errs := []error{it.Err()}
	for _, k := range stale {
		errs = append(errs, d.objs.Vlans.Delete(k))
	}
	return errors.Join(errs...)
}
