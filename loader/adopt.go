// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// PinnedGroup is what an earlier vipd left of a group, as the kernel knows it: it goes
// on with that, also while nobody watches, until the lease ends.
type PinnedGroup struct {
	IfIndex int
	VHID    uint8
	// Role is in force. A new promotion needs a higher generation than every pinned one.
	Role Role
	// SentPriority is what foreign adverts are compared with.
	SentPriority Priority
	// Seen is the newest advert; its YieldedGeneration may have ended Role.
	Seen Seen
	// VIPs are fenced, and answered for while the group answers. Ascending.
	VIPs []netip.Addr
}

type pinnedGroup struct {
	slot uint32
	vips map[netip.Addr]uint32
}

// Pinned lists the groups that [Open] adopted and nobody claimed yet with
// [Dataplane.AddGroup], by interface and VHID. AddGroup of one of them keeps its role,
// its record and its counters; addresses that its GroupSpec has no more have to be off
// the interface before, since they lose their fence.
func (d *Dataplane) Pinned() []PinnedGroup {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	out := make([]PinnedGroup, 0, len(d.pinned))
	for key, p := range d.pinned {
		g := PinnedGroup{IfIndex: int(key.Ifindex), VHID: key.Vhid}
		k := d.roles.at(p.slot)
		roleGen := atomic.LoadUint64(&k.RoleGen)
		g.Role = Role{
			State: uint8(roleGen & 3), Generation: roleGen >> roleShift,
			Lease: int64(atomic.LoadUint64(&k.Lease)), SendUntil: int64(atomic.LoadUint64(&k.SendUntil)),
		}
		prio := atomic.LoadUint64(&k.SentPrio)
		g.SentPriority = Priority{AdvBase: uint8(prio >> 16), AdvSkew: uint8(prio >> 8), Demote: uint8(prio)}
		var err error
		if g.Seen, err = d.readSeen(p.slot); err != nil { // not of an array with that slot
			d.opts.Log.Error("cannot read the last advert of an adopted group", "slot", p.slot, "err", err)
		}
		for a := range p.vips {
			g.VIPs = append(g.VIPs, a)
		}
		slices.SortFunc(g.VIPs, netip.Addr.Compare)
		out = append(out, g)
	}
	runtime.KeepAlive(d.roles)
	slices.SortFunc(out, func(a, b PinnedGroup) int {
		if a.IfIndex != b.IfIndex {
			return a.IfIndex - b.IfIndex
		}
		return int(a.VHID) - int(b.VHID)
	})
	return out
}

// Unclaimed lists the addresses of groups that were adopted and not claimed. Take them
// off their interfaces, then call [Dataplane.DropUnclaimed].
func (d *Dataplane) Unclaimed() []LeftVIP {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.unclaimed()
}

func (d *Dataplane) unclaimed() []LeftVIP {
	var left []LeftVIP
	for key, p := range d.pinned {
		for a := range p.vips {
			left = append(left, LeftVIP{IfIndex: int(key.Ifindex), Addr: a, VHID: key.Vhid})
		}
	}
	sortLeft(left)
	return left
}

// DropUnclaimed removes the groups that were adopted and not claimed, and detaches
// from the adopted interfaces that nobody attached to. It returns the addresses that
// have lost their fence: the same that [Dataplane.Unclaimed] tells beforehand.
func (d *Dataplane) DropUnclaimed() ([]LeftVIP, error) {
	defer d.lockAll()()
	if d.closed {
		return nil, ErrClosed
	}
	left := d.unclaimed()
	var errs []error
	for key, p := range d.pinned {
		g := d.newGroup(key)
		g.slot, g.vips = p.slot, p.vips
		if err := g.remove(); err != nil {
			errs = append(errs, fmt.Errorf("remove %s: %w", g.name, err))
			continue
		}
		delete(d.pinned, key)
	}
	for ifindex, a := range d.attached {
		if !a.claimed && !a.carrier { // carriers go with the last that they carry
			errs = append(errs, d.detach(ifindex))
		}
	}
	for ifindex := range d.attached {
		errs = append(errs, d.dropCarrier(ifindex))
	}
	return left, errors.Join(errs...)
}

// claim makes g the adopted group p, with what s says.
func (g *Group) claim(p *pinnedGroup, s GroupSpec) error {
	g.slot, g.vips = p.slot, p.vips
	live := atomic.LoadUint64(&g.d.roles.at(g.slot).AuthIndex) & 1
	runtime.KeepAlive(g.d.roles)
	var a bpfAuth
	if err := g.d.objs.Auth.Lookup(g.slot*2+uint32(live), &a); err != nil {
		return fmt.Errorf("read its keys: %w", err)
	}
	n := min(a.N, MaxContexts)
	g.contexts = contextCounts{ctxs: a.Ctx[:n], carried: make([]uint64, n), base: make([]uint64, n)}
	if err := g.apply(s); err != nil {
		return err
	}
	delete(g.d.pinned, g.key)
	g.d.groups[g.key] = g
	return nil
}

// adopt takes over maps and links of an earlier vipd. On error nothing is lost: what
// is pinned is as it was, but that some links may run the new programs on it.
func (d *Dataplane) adopt() error {
	pinned, err := d.openPinned()
	defer func() {
		for _, m := range pinned {
			_ = m.Close() // clones are in use, or nothing is
		}
	}()
	if err != nil {
		return err
	}
	var meta bpfMeta
	if err := pinned[bpfMapMeta].Lookup(uint32(0), &meta); err != nil || meta.Layout != layoutVersion {
		return fmt.Errorf("layout version %d, want %d (%w)", meta.Layout, layoutVersion, err)
	}
	if err := d.load(pinned); err != nil {
		return err
	}
	if err := d.open(); err != nil {
		return err
	}
	if err := d.readPinned(); err != nil {
		return err
	}
	if err := d.adoptInterfaces(); err != nil {
		return err
	}
	d.opts.Log.Info("adopted what an earlier vipd left", "dir", d.pinDir(), "groups", len(d.pinned), "interfaces", len(d.attached))
	return nil
}

func (d *Dataplane) openPinned() (map[string]*ebpf.Map, error) {
	s, err := spec(d.opts)
	if err != nil {
		return nil, err
	}
	pinned := make(map[string]*ebpf.Map)
	for name := range d.maps() {
		m, err := ebpf.LoadPinnedMap(filepath.Join(d.pinDir(), name), nil)
		if err != nil {
			return pinned, fmt.Errorf("open the pinned map %s: %w", name, err)
		}
		pinned[name] = m
		if err := s.Maps[name].Compatible(m); err != nil {
			return pinned, fmt.Errorf("pinned map %s: %w", name, err)
		}
	}
	return pinned, nil
}

// readPinned finds the groups and their addresses, and holds that they make sense: a
// slot that belongs to two would mix them up for ever.
func (d *Dataplane) readPinned() error {
	d.pinned = make(map[bpfGroupKey]*pinnedGroup)
	bySlot, vipSlots := make(map[uint32]bpfGroupKey), make(map[uint32]bool)
	used := make(map[uint32]bool)
	var key bpfGroupKey
	var val bpfGroupVal
	it := d.objs.Groups.Iterate()
	for it.Next(&key, &val) {
		if val.Slot >= uint32(d.opts.MaxGroups) || used[val.Slot] {
			return fmt.Errorf("vhid %d on interface %d has slot %d, which is impossible or another's", key.Vhid, key.Ifindex, val.Slot)
		}
		used[val.Slot], bySlot[val.Slot] = true, key
		d.pinned[key] = &pinnedGroup{slot: val.Slot, vips: make(map[netip.Addr]uint32)}
	}
	var vipKey bpfVipKey
	var vip bpfVipVal
	vips := d.objs.Vips.Iterate()
	for vips.Next(&vipKey, &vip) {
		addr := netip.AddrFrom16(vipKey.Addr).Unmap()
		owner, ok := bySlot[vip.Group]
		if !ok || owner.Ifindex != vipKey.Ifindex || owner.Vlan != vipKey.Vlan || vip.Vip >= uint32(d.opts.MaxVIPs) || vipSlots[vip.Vip] {
			return fmt.Errorf("address %s on interface %d belongs to no group, or its slot %d is another's", addr, vipKey.Ifindex, vip.Vip)
		}
		vipSlots[vip.Vip] = true
		d.pinned[owner].vips[addr] = vip.Vip
		d.vipPlace.put(vipKey, vip)
	}
	d.slots.reserve(used)
	d.vipSlots.reserve(vipSlots)
	return errors.Join(it.Err(), vips.Err())
}

func (d *Dataplane) adoptInterfaces() error {
	flags, parents := make(map[int]uint32), make(map[int]int)
	var key uint32
	var val bpfIface
	it := d.objs.Ifaces.Iterate()
	for it.Next(&key, &val) {
		flags[int(key)] = val.Flags
		if val.Parent != 0 {
			parents[int(key)] = int(val.Parent)
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read the pinned list of interfaces: %w", err)
	}
	if err := d.dropStrayLinks(flags); err != nil {
		return err
	}
	for ifindex, f := range flags {
		if err := d.adoptInterface(ifindex, f); err != nil {
			return fmt.Errorf("adopt interface %d: %w", ifindex, err)
		}
	}
	return d.adoptVLANs(parents)
}

// dropStrayLinks detaches what no known interface accounts for: nobody would ever claim
// it, and it would keep our own program out.
func (d *Dataplane) dropStrayLinks(known map[int]uint32) error {
	pins, err := filepath.Glob(filepath.Join(d.pinDir(), "link-*"))
	if err != nil {
		return err
	}
	for _, pin := range pins {
		var ifindex int
		_, err := fmt.Sscanf(filepath.Base(pin), "link-%d-", &ifindex)
		if _, ok := known[ifindex]; ok && err == nil {
			continue
		}
		d.opts.Log.Warn("removing a pinned link that no interface accounts for", "pin", pin)
		if err := removePinnedLink(pin); err != nil {
			return err
		}
	}
	return nil
}

// otherLayouts are the pins of vipds that laid out their maps in another way.
func (d *Dataplane) otherLayouts() []string {
	dirs, err := filepath.Glob(filepath.Join(d.opts.Dir, "v*"))
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(dirs, func(dir string) bool {
		return strings.HasSuffix(dir, tmpSuffix) // nothing worked on those
	})
}

// adoptInterface puts the new programs in the place of the old, the fence first; each
// by one replacement, so that there is always one.
func (d *Dataplane) adoptInterface(ifindex int, flags uint32) (err error) {
	a := &attachment{adopted: true, carrier: flags&ifaceCarrier != 0}
	d.attached[ifindex] = a
	l, err := netlink.LinkByIndex(ifindex)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return errors.Join(d.dropPinned(ifindex), d.detach(ifindex))
	}
	if err != nil {
		return err
	}
	a.ifname = l.Attrs().Name
	if a.tcx, err = d.adoptLink(ifindex, "egress", d.objs.VipdEgress); err != nil {
		return err
	}
	if a.tcx != nil {
		a.Egress = EgressTCX
	} else if flags&ifaceClsactFilter != 0 {
		replaced, err := replaceFilter(ifindex, netlink.HANDLE_MIN_EGRESS, d.objs.VipdEgress)
		if err != nil {
			return err
		}
		if replaced {
			a.Egress = EgressClsact
		}
	}
	if err := d.adoptXDP(a, l); err != nil {
		return err
	}
	if a.xdp == nil {
		return d.adoptIngress(a, ifindex, flags)
	}
	return d.dropLeftIngress(ifindex, flags)
}

// adoptXDP exchanges the XDP program for ours of the same mode.
func (d *Dataplane) adoptXDP(a *attachment, l netlink.Link) error {
	if !exists(d.linkPin(l.Attrs().Index, "xdp")) {
		return nil
	}
	const attachedDriver = 1 // XDP_ATTACHED_DRV
	mode := ModeGeneric
	if x := l.Attrs().Xdp; x != nil && x.AttachMode == attachedDriver {
		mode = ModeNative
	}
	p, err := d.xdpProgram(mode)
	if err != nil {
		return err
	}
	if a.xdp, err = d.adoptLink(l.Attrs().Index, "xdp", p); a.xdp != nil {
		a.Mode = mode
	}
	return err
}

// dropPinned removes the links of an interface that is not there any more.
func (d *Dataplane) dropPinned(ifindex int) error {
	var errs []error
	for _, hook := range []string{"xdp", "ingress", "egress"} {
		if pin := d.linkPin(ifindex, hook); exists(pin) {
			errs = append(errs, removePinnedLink(pin))
		}
	}
	return errors.Join(errs...)
}

// adoptLink gives nil for a link that is not there, or is dead: its interface went, and
// another may have come back under its index. Attach makes what is missing.
func (d *Dataplane) adoptLink(ifindex int, hook string, p *ebpf.Program) (link.Link, error) {
	l, err := link.LoadPinnedLink(d.linkPin(ifindex, hook), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open its pinned %s link: %w", hook, err)
	}
	if !sitsOn(l, ifindex) {
		return nil, dropLink(l)
	}
	if err := l.Update(p); err != nil {
		return nil, errors.Join(fmt.Errorf("replace its %s program: %w", hook, err), l.Close())
	}
	return l, nil
}

// forget closes what adopt got, for another beginning.
func (d *Dataplane) forget() error {
	var errs []error
	for _, a := range d.attached {
		errs = append(errs, a.close())
	}
	errs = append(errs, d.releaseObjects())
	d.objs, d.roles, d.ring, d.tap, d.pinned = bpfObjects{}, nil, nil, nil, nil
	d.attached = make(map[int]*attachment)
	d.slots, d.vipSlots = slots{bound: uint32(d.opts.MaxGroups)}, slots{bound: uint32(d.opts.MaxVIPs)}
	return errors.Join(errs...)
}
