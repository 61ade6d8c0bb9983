// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/cilium/ebpf"
)

// GroupSpec says what the data plane has to know of a redundancy group.
type GroupSpec struct {
	IfIndex int
	VHID    uint8
	// NICMAC is the interface's own address; frames to the virtual MAC are rewritten to it.
	NICMAC [6]byte
	// VIPs are the addresses, without prefix lengths.
	VIPs []netip.Addr
	// Contexts are the keys and address sets that are accepted, at most [MaxContexts].
	// With none every advert is refused as bad_hmac.
	Contexts []AuthContext
	// Router says that this host forwards IPv6: answers to solicitations carry the
	// Router flag. Neighbours drop a router that stops saying so from their lists.
	Router bool
	// TTL is strict, unless adverts of unicast peers may come through a router.
	TTL TTLRule
	// RequireSeal refuses an advert without a seal as replay: for groups of vipd nodes
	// alone, each context of which has a SealKey.
	RequireSeal bool
	// StrictReplay refuses, of sources that do not seal, a counter that does not rise;
	// see bpf/replay.h for what it tolerates and what it cannot see.
	StrictReplay bool
}

// TTLRule says which adverts need the TTL or hop limit 255.
type TTLRule string

// Rules. FreeBSD does not look at the TTL when its peer is no multicast group,
// OpenBSD always does. An advert to the multicast group needs 255 under both.
const (
	TTLStrict TTLRule = "strict" // also the zero value
	TTLAny    TTLRule = "any"
)

// Bits of group_val.flags in bpf/vipd_types.h.
const (
	groupV4           = 1
	groupV6           = 2
	groupTTLAny       = 4
	groupRequireSeal  = 8
	groupStrictReplay = 16
)

// vipRouter is VIP_ROUTER of vip_val.flags.
const vipRouter = 1

func (s GroupSpec) flags() (flags uint16) {
	for _, a := range s.VIPs {
		if a.Unmap().Is4() {
			flags |= groupV4
		} else {
			flags |= groupV6
		}
	}
	if s.TTL == TTLAny {
		flags |= groupTTLAny
	}
	if s.RequireSeal {
		flags |= groupRequireSeal
	}
	if s.StrictReplay {
		flags |= groupStrictReplay
	}
	return flags
}

// Group is one redundancy group in the data plane.
type Group struct {
	d    *Dataplane
	name string
	key  bpfGroupKey
	slot uint32

	// guarded by d.mu
	removed  bool
	nicMAC   [6]byte
	router   bool
	contexts contextCounts
	vips     map[netip.Addr]uint32

	seals atomic.Bool // some context has a SealKey

	sent uint64 // adverts recorded so far; of the goroutine that owns the setters
}

// Slot is the number that [Event].Slot carries.
func (g *Group) Slot() uint32 { return g.slot }

// AddGroup makes a group known, in state INIT with zero counters. From here on the
// host's own stack does not speak for its addresses. A group that was adopted keeps
// role, record and counters, see [Dataplane.Pinned].
func (d *Dataplane) AddGroup(s GroupSpec) (*Group, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	g := d.newGroup(bpfGroupKey{Ifindex: uint32(s.IfIndex), Vhid: s.VHID})
	if err := g.validate(s); err != nil {
		return nil, err
	}
	if d.groups[g.key] != nil {
		return nil, fmt.Errorf("add %s: %w", g.name, ErrExists)
	}
	if p := d.pinned[g.key]; p != nil {
		if err := g.claim(p, s); err != nil {
			return nil, fmt.Errorf("adopt %s: %w", g.name, err)
		}
		return g, nil
	}
	slot, ok := d.slots.take()
	if !ok {
		return nil, fmt.Errorf("add %s: %w: more than %d groups", g.name, ErrFull, d.opts.MaxGroups)
	}
	g.slot = slot
	d.groups[g.key] = g
	if err := errors.Join(g.reset(), g.apply(s)); err != nil {
		return nil, errors.Join(fmt.Errorf("add %s: %w", g.name, err), g.remove())
	}
	return g, nil
}

func (d *Dataplane) newGroup(key bpfGroupKey) *Group {
	return &Group{
		d: d, name: fmt.Sprintf("vhid %d on interface %d", key.Vhid, key.Ifindex),
		key: key, vips: make(map[netip.Addr]uint32),
	}
}

// Update changes addresses, keys and the NIC's MAC. Role and counters stay, also
// those of the addresses that are kept. On error the old state may be in place in part.
func (g *Group) Update(s GroupSpec) error {
	g.d.mu.Lock()
	defer g.d.mu.Unlock()
	if err := g.usable(); err != nil {
		return err
	}
	if uint32(s.IfIndex) != g.key.Ifindex || s.VHID != g.key.Vhid {
		return fmt.Errorf("update %s: interface and vhid cannot change; add another group", g.name)
	}
	if err := g.validate(s); err != nil {
		return err
	}
	if err := g.apply(s); err != nil {
		return fmt.Errorf("update %s: %w", g.name, err)
	}
	return nil
}

// Remove takes the right to speak from the group and forgets it.
func (g *Group) Remove() error {
	g.d.mu.Lock()
	defer g.d.mu.Unlock()
	if g.d.closed {
		return ErrClosed
	}
	if g.removed {
		return nil
	}
	if err := g.remove(); err != nil {
		return fmt.Errorf("remove %s: %w", g.name, err)
	}
	return nil
}

func (g *Group) usable() error {
	if g.d.closed {
		return ErrClosed
	}
	if g.removed {
		return fmt.Errorf("%s: %w", g.name, ErrRemoved)
	}
	return nil
}

func (g *Group) validate(s GroupSpec) error {
	if s.IfIndex < 1 || s.VHID < 1 {
		return fmt.Errorf("%s: interface index and vhid start at 1", g.name)
	}
	if s.TTL != "" && s.TTL != TTLStrict && s.TTL != TTLAny {
		return fmt.Errorf("%s: ttl rule %q: want strict or any", g.name, s.TTL)
	}
	if s.RequireSeal && slices.ContainsFunc(s.Contexts, func(c AuthContext) bool { return c.SealKey == SealKey{} }) {
		return fmt.Errorf("%s: seals are required, but not all accepted contexts have a key for them", g.name)
	}
	seen := make(map[netip.Addr]bool, len(s.VIPs))
	for _, a := range s.VIPs {
		if !a.IsValid() || a.Zone() != "" || seen[a.Unmap()] {
			return fmt.Errorf("%s: address %q: want plain addresses, each once", g.name, a)
		}
		seen[a.Unmap()] = true
	}
	return nil
}

// reset zeroes what an earlier owner of the slot left.
func (g *Group) reset() error {
	o := &g.d.objs
	g.d.roles.clear(g.slot)
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("count the cpus: %w", err)
	}
	return errors.Join(
		o.Seen.Put(g.slot, bpfSeen{}),
		o.GroupStats.Put(g.slot, make([]bpfGroupStats, cpus)),
		o.Budget.Put(g.slot, make([]bpfBudget, cpus)),
		o.TapUsed.Put(g.slot, make([]bpfTapUsed, cpus)),
		o.TapCapture.Put(g.slot, uint32(0)),
		g.forgetSources(),
	)
}

// forgetSources removes what was learnt about senders for the slot.
func (g *Group) forgetSources() error {
	var key bpfSourceKey
	var val bpfSourceVal
	var gone []bpfSourceKey
	it := g.d.objs.Sources.Iterate()
	for it.Next(&key, &val) {
		if key.Slot == g.slot {
			gone = append(gone, key)
		}
	}
	errs := []error{it.Err()}
	for _, k := range gone {
		if err := g.d.objs.Sources.Delete(k); !errors.Is(err, ebpf.ErrKeyNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// apply writes keys before addresses, so that nothing is refused that was accepted
// under both.
func (g *Group) apply(s GroupSpec) error {
	if err := g.setContexts(s.Contexts); err != nil {
		return err
	}
	val := bpfGroupVal{Slot: g.slot, NicMac: s.NICMAC, Flags: s.flags()}
	if err := g.d.objs.Groups.Put(g.key, val); err != nil {
		return fmt.Errorf("write the group: %w", err)
	}
	g.d.place.put(g.key, val)
	g.nicMAC, g.router = s.NICMAC, s.Router
	return g.setVIPs(s.VIPs)
}

func (g *Group) vipKey(a netip.Addr) bpfVipKey {
	return bpfVipKey{Addr: a.As16(), Ifindex: g.key.Ifindex, Vlan: g.key.Vlan}
}

func (g *Group) setVIPs(addrs []netip.Addr) error {
	want := make(map[netip.Addr]bool, len(addrs))
	for _, a := range addrs {
		want[a.Unmap()] = true
	}
	for a := range g.vips {
		if want[a] {
			continue
		}
		if err := g.dropVIP(a); err != nil {
			return err
		}
	}
	for a := range want {
		if err := g.putVIP(a); err != nil {
			return err
		}
	}
	return nil
}

func (g *Group) putVIP(a netip.Addr) error {
	slot, kept := g.vips[a]
	if !kept {
		var ok bool
		if slot, ok = g.d.vipSlots.take(); !ok {
			return fmt.Errorf("add %s: %w: more than %d addresses", a, ErrFull, g.d.opts.MaxVIPs)
		}
	}
	err := g.writeVIP(a, slot, kept)
	if err != nil && !kept {
		g.d.vipSlots.give(slot)
	}
	return err
}

func (g *Group) writeVIP(a netip.Addr, slot uint32, kept bool) error {
	flags := ebpf.UpdateExist
	if !kept {
		flags = ebpf.UpdateNoExist
		cpus, err := ebpf.PossibleCPU()
		if err != nil {
			return fmt.Errorf("count the cpus: %w", err)
		}
		if err := g.d.objs.VipStats.Put(slot, make([]bpfVipStats, cpus)); err != nil {
			return fmt.Errorf("zero the counters of %s: %w", a, err)
		}
	}
	val := bpfVipVal{Group: g.slot, Vip: slot, Vhid: g.key.Vhid, NicMac: g.nicMAC}
	if g.router {
		val.Flags = vipRouter
	}
	err := g.d.objs.Vips.Update(g.vipKey(a), val, flags)
	if errors.Is(err, ebpf.ErrKeyExist) {
		return fmt.Errorf("address %s: %w by another group of that interface", a, ErrExists)
	}
	if err != nil {
		return fmt.Errorf("write address %s: %w", a, err)
	}
	g.d.vipPlace.put(g.vipKey(a), val)
	g.vips[a] = slot
	return nil
}

func (g *Group) dropVIP(a netip.Addr) error {
	if err := g.d.objs.Vips.Delete(g.vipKey(a)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("remove address %s: %w", a, err)
	}
	g.d.vipPlace.drop(g.vipKey(a))
	g.d.vipSlots.give(g.vips[a])
	delete(g.vips, a)
	return nil
}

// remove works on a group in any state of completion.
func (g *Group) remove() error {
	g.SetRole(Role{State: RoleInit, Generation: g.Generation()})
	var errs []error
	for a := range g.vips {
		errs = append(errs, g.dropVIP(a))
	}
	g.d.place.drop(g.key)
	if err := g.d.objs.Groups.Delete(g.key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		errs = append(errs, fmt.Errorf("remove the group: %w", err))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	g.removed = true
	delete(g.d.groups, g.key)
	g.d.slots.give(g.slot)
	return nil
}
