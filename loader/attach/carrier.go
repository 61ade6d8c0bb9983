// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"

	"vipd/loader/object"
)

// The XDP program of its parent (its carrier) can serve a VLAN device: the map of VLANs gives that program the device
// that the tags of a frame belong to. This is the only way to native XDP, since VLAN devices have none. In generic mode
// the program is on the VLAN device itself, where no offload can hide tags.

// maxTags is how many tags the program parses.
const maxTags = 2

// vlanDevice is a VLAN device and the interface below all its tags.
type vlanDevice struct {
	key        object.BPFVlanKey // the key of its frames on the parent
	parent     int
	parentName string
}

var (
	errNoVLAN = errors.New("not a VLAN device")
	errTagged = errors.New("it leaves the tags in its frames (reorder_hdr off)")
)

// refuseTagged refuses a VLAN device that leaves the tags in its frames: the fence would take an outgoing frame, and
// the program an incoming one, for another network's.
func refuseTagged(l netlink.Link) error {
	// The kernel reports no flags at all if none is set.
	if dev, ok := l.(*netlink.Vlan); ok && (dev.ReorderHdr == nil || !*dev.ReorderHdr) {
		name := l.Attrs().Name
		return fmt.Errorf("attach to %s: %w: set `ip link set dev %s type vlan reorder_hdr on`", name, errTagged, name)
	}
	return nil
}

// vlanOf resolves a VLAN device. It returns errNoVLAN for any other interface.
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
		// From the inner tag to the outer one.
		v.key.InnerProtoBe, v.key.Inner = v.key.OuterProtoBe, v.key.Outer
		v.key.OuterProtoBe, v.key.Outer = bigEndian(uint16(dev.VlanProtocol)), uint16(dev.VlanId)
		tags++
		ifindex = dev.ParentIndex
	}
}

// bigEndian returns the value of a packet field in this machine's byte order.
func bigEndian(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// carry makes the parent's program serve the VLAN device.
func (h *Hooks) carry(a *attachment, ifindex int, v vlanDevice) error {
	p := h.attached[v.parent]
	switch {
	case p == nil:
		p = &attachment{ifname: v.parentName, carrier: true}
		h.attached[v.parent] = p
		if err := h.attachCarrier(p, v.parent); err != nil {
			return errors.Join(err, h.detach(v.parent))
		}
	case p.xdp == nil || p.Mode != ModeNative:
		return fmt.Errorf("xdp runs in mode %s on its parent %s", p.Mode, v.parentName)
	case !sitsOn(p.xdp, v.parent):
		if err := errors.Join(dropLink(p.xdp), h.attachXDP(p, v.parent, ModeNative)); err != nil {
			return err
		}
	}
	if err := h.noteParent(ifindex, v.parent); err != nil {
		return errors.Join(err, h.dropCarrier(v.parent))
	}
	if err := h.set.Vlans.Put(v.key, uint32(ifindex)); err != nil {
		return errors.Join(fmt.Errorf("note the tags of %s: %w", a.ifname, err), h.dropCarrier(v.parent))
	}
	a.vlan, a.Parent, a.Mode = v, v.parentName, ModeNative
	return nil
}

func (h *Hooks) attachCarrier(p *attachment, ifindex int) error {
	if err := h.noteInterface(ifindex, ifaceCarrier); err != nil {
		return err
	}
	wasOn, err := switchOff(h.nic, p.ifname)
	if wasOn != 0 {
		err = errors.Join(err, h.noteFlag(ifindex, wasOn))
	}
	if err != nil {
		return fmt.Errorf("its parent takes tags off before xdp sees them: %w", err)
	}
	return h.attachXDP(p, ifindex, ModeNative)
}

// dropCarrier detaches from a parent that serves no VLAN device any longer.
func (h *Hooks) dropCarrier(ifindex int) error {
	p := h.attached[ifindex]
	if p == nil || !p.carrier || h.carries(ifindex) {
		return nil
	}
	return h.detach(ifindex)
}

// carries reports whether an interface is the parent of a VLAN device that it serves.
func (h *Hooks) carries(ifindex int) bool {
	for _, a := range h.attached {
		if a.vlan.parent == ifindex {
			return true
		}
	}
	return false
}

// uncarry ends the service of the parent's program for a VLAN device.
func (h *Hooks) uncarry(a *attachment) error {
	parent := a.vlan.parent
	if parent == 0 {
		return nil
	}
	err := h.set.Vlans.Delete(a.vlan.key)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		err = nil
	}
	a.vlan = vlanDevice{}
	return errors.Join(err, h.dropCarrier(parent))
}

// onlyCarry removes from a parent what served its own groups.
func (h *Hooks) onlyCarry(ifindex int, a *attachment) error {
	flags, err := h.flags(ifindex)
	if err != nil {
		return err
	}
	errs := []error{h.series.dropTCX(a.tcx)}
	if flags&ifaceClsactFilter != 0 {
		errs = append(errs, h.filters.removeClsact(ifindex, flags))
	}
	a.tcx, a.Egress, a.carrier, a.claimed = nil, "", true, false
	next := object.BPFIface{Flags: flags&^(ifaceClsactFilter|ifaceClsactQdisc) | ifaceCarrier}
	return errors.Join(append(errs, h.set.Ifaces.Put(uint32(ifindex), next))...)
}

// noteParent records for a later process which parent serves a VLAN device.
func (h *Hooks) noteParent(ifindex, parent int) error {
	key := uint32(ifindex)
	var v object.BPFIface
	if err := h.set.Ifaces.Lookup(key, &v); err != nil {
		return fmt.Errorf("look up what was attached to interface %d: %w", ifindex, err)
	}
	v.Parent = uint32(parent)
	if err := h.set.Ifaces.Put(key, v); err != nil {
		return fmt.Errorf("note what is attached to interface %d: %w", ifindex, err)
	}
	return nil
}

// adoptVLANs finds out which adopted parent serves which VLAN device. Uncertain ones are attached anew.
func (h *Hooks) adoptVLANs(parents map[int]int) error {
	var key object.BPFVlanKey
	var ifindex uint32
	var stale []object.BPFVlanKey
	it := h.set.Vlans.Iterate()
	for it.Next(&key, &ifindex) {
		a, p := h.attached[int(ifindex)], h.attached[int(key.Ifindex)]
		v, err := vlanOf(int(ifindex))
		if a == nil || p == nil || p.xdp == nil || err != nil || v.key != key || parents[int(ifindex)] != v.parent {
			stale = append(stale, key)
			continue
		}
		a.vlan, a.Parent, a.Mode = v, v.parentName, p.Mode
	}
	errs := []error{it.Err()}
	for _, k := range stale {
		errs = append(errs, h.set.Vlans.Delete(k))
	}
	return errors.Join(errs...)
}
