// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/cilium/ebpf"

	"vipd/loader/object"
)

// GroupSpec describes a group to the data plane.
type GroupSpec struct {
	IfIndex int
	VHID    uint8
	// NICMAC is the interface's own address; frames to the virtual MAC are rewritten to it.
	NICMAC [6]byte
	// VIPs are the addresses, without prefix lengths.
	VIPs []netip.Addr
	// Contexts are the accepted keys and address sets, at most [MaxContexts]. Without any, every advert is rejected as
	// bad_hmac.
	Contexts []AuthContext
	// Router means that this host forwards IPv6: answers to solicitations then carry the Router flag. Neighbours drop a
	// router from their lists if it stops setting the flag.
	Router bool
	// TTL must be strict unless adverts of unicast peers may pass a router.
	TTL TTLRule
	// RequireTrailer rejects an advert without a trailer as bad_trailer. It is for groups of vipd nodes only, and every
	// context needs a TrailerKey.
	RequireTrailer bool
	// PeerMemory is for how long a source that has sent a trailer is not believed without one; whole seconds, 0: for
	// ever.
	PeerMemory time.Duration
	// StrictReplay rejects, from sources that send no trailers, a counter that does not rise; bpf/replay.h describes what
	// it tolerates and what it cannot detect.
	StrictReplay bool
}

// TTLRule determines which adverts need a TTL or hop limit of 255.
type TTLRule string

// Rules. FreeBSD does not check the TTL if its peer is not a multicast group, OpenBSD always does. Under both, an
// advert to the multicast group needs 255.
const (
	TTLStrict TTLRule = "strict" // also the zero value
	TTLAny    TTLRule = "any"
)

// Bits of group_val.flags in bpf/vipd_types.h.
const (
	groupV4             = 1
	groupV6             = 2
	groupTTLAny         = 4
	groupRequireTrailer = 8
	groupStrictReplay   = 16
	groupTrailers       = 32
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
	if s.RequireTrailer {
		flags |= groupRequireTrailer
	}
	if s.StrictReplay {
		flags |= groupStrictReplay
	}
	if !slices.ContainsFunc(s.Contexts, AuthContext.keyless) {
		flags |= groupTrailers
	}
	return flags
}

// Group is one redundancy group in the data plane.
type Group struct {
	t    *Tables
	name string
	key  object.BPFGroupKey
	slot uint32

	// guarded by t.mu
	removed  bool
	nicMAC   [6]byte
	router   bool
	contexts contextCounts
	vips     map[netip.Addr]uint32

	// Of the goroutine that owns the setters.
	sent   uint64 // adverts recorded so far
	latest latest
}

// Slot is the number that [Event].Slot carries.
func (g *Group) Slot() uint32 { return g.slot }

// AddGroup adds a group in state INIT with zero counters. From then on the host's own stack does not speak for its
// addresses. An adopted group keeps its role, its seen entry and its counters, see [Tables.Pinned].
func (t *Tables) AddGroup(s GroupSpec) (*Group, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, object.ErrClosed
	}
	g := t.newGroup(object.BPFGroupKey{Ifindex: uint32(s.IfIndex), Vhid: s.VHID})
	if err := g.validate(s); err != nil {
		return nil, err
	}
	if t.groups[g.key] != nil {
		return nil, fmt.Errorf("add %s: %w", g.name, ErrExists)
	}
	if p := t.pinned[g.key]; p != nil {
		if err := g.claim(p, s); err != nil {
			return nil, fmt.Errorf("adopt %s: %w", g.name, err)
		}
		return g, nil
	}
	slot, ok := t.slots.take()
	if !ok {
		return nil, fmt.Errorf("add %s: %w: more than %d groups", g.name, ErrFull, t.slots.bound)
	}
	g.slot = slot
	t.groups[g.key] = g
	if err := errors.Join(g.reset(), g.apply(s)); err != nil {
		return nil, errors.Join(fmt.Errorf("add %s: %w", g.name, err), g.remove())
	}
	return g, nil
}

func (t *Tables) newGroup(key object.BPFGroupKey) *Group {
	return &Group{
		t: t, name: fmt.Sprintf("vhid %d on interface %d", key.Vhid, key.Ifindex),
		key: key, vips: make(map[netip.Addr]uint32),
	}
}

// Update changes addresses, keys and the NIC's MAC. The role and the counters stay, including those of addresses that
// are kept. After an error the change may be in place in part.
func (g *Group) Update(s GroupSpec) error {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
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

// Remove revokes the group's right to speak and removes it.
func (g *Group) Remove() error {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	if g.t.closed {
		return object.ErrClosed
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
	if g.t.closed {
		return object.ErrClosed
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
	if s.RequireTrailer && slices.ContainsFunc(s.Contexts, AuthContext.keyless) {
		return fmt.Errorf("%s: trailers are required, but not all accepted contexts have a key for them", g.name)
	}
	if s.PeerMemory < 0 || s.PeerMemory/time.Second > math.MaxUint32 {
		return fmt.Errorf("%s: memory of peers %s: want 0 to 136 years", g.name, s.PeerMemory)
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
	o := g.t.maps
	g.t.roles.clear(g.slot)
	g.t.heard.clear(g.slot)
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("count the cpus: %w", err)
	}
	return errors.Join(
		o.Seen.Put(g.slot, object.BPFSeen{}),
		o.GroupStats.Put(g.slot, make([]object.BPFGroupStats, cpus)),
		o.Budget.Put(g.slot, make([]object.BPFBudget, cpus)),
		o.TapUsed.Put(g.slot, make([]object.BPFTapUsed, cpus)),
		o.TapCapture.Put(g.slot, uint32(0)),
		g.t.forgetRemoved(g.slot),
	)
}

// apply writes keys before addresses, so that no advert is rejected that both the old and the new settings accept.
func (g *Group) apply(s GroupSpec) error {
	if err := g.setContexts(s.Contexts); err != nil {
		return err
	}
	val := object.BPFGroupVal{
		Slot: g.slot, NicMac: s.NICMAC, Flags: s.flags(), MemoryS: uint32(s.PeerMemory / time.Second),
	}
	if err := g.t.maps.Groups.Put(g.key, val); err != nil {
		return fmt.Errorf("write the group: %w", err)
	}
	g.t.place.put(g.key, val)
	g.nicMAC, g.router = s.NICMAC, s.Router
	return g.setVIPs(s.VIPs)
}

func (g *Group) vipKey(a netip.Addr) object.BPFVipKey {
	return object.BPFVipKey{Addr: a.As16(), Ifindex: g.key.Ifindex}
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
		if slot, ok = g.t.vipSlots.take(); !ok {
			return fmt.Errorf("add %s: %w: more than %d addresses", a, ErrFull, g.t.vipSlots.bound)
		}
	}
	err := g.writeVIP(a, slot, kept)
	if err != nil && !kept {
		g.t.vipSlots.give(slot)
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
		if err := g.t.maps.VipStats.Put(slot, make([]object.BPFVipStats, cpus)); err != nil {
			return fmt.Errorf("zero the counters of %s: %w", a, err)
		}
	}
	val := object.BPFVipVal{Group: g.slot, Vip: slot, Vhid: g.key.Vhid, NicMac: g.nicMAC}
	if g.router {
		val.Flags = vipRouter
	}
	err := g.t.maps.Vips.Update(g.vipKey(a), val, flags)
	if errors.Is(err, ebpf.ErrKeyExist) {
		return fmt.Errorf("address %s: %w by another group of that interface", a, ErrExists)
	}
	if err != nil {
		return fmt.Errorf("write address %s: %w", a, err)
	}
	g.t.vipPlace.put(g.vipKey(a), val)
	g.vips[a] = slot
	return nil
}

func (g *Group) dropVIP(a netip.Addr) error {
	if err := g.t.maps.Vips.Delete(g.vipKey(a)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("remove address %s: %w", a, err)
	}
	g.t.vipPlace.drop(g.vipKey(a))
	g.t.vipSlots.give(g.vips[a])
	delete(g.vips, a)
	return nil
}

// remove works on a group that is not completely set up, too.
func (g *Group) remove() error {
	g.SetRole(Role{State: RoleInit, Generation: g.Generation()})
	var errs []error
	for a := range g.vips {
		errs = append(errs, g.dropVIP(a))
	}
	g.t.place.drop(g.key)
	if err := g.t.maps.Groups.Delete(g.key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		errs = append(errs, fmt.Errorf("remove the group: %w", err))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	g.removed = true
	delete(g.t.groups, g.key)
	g.t.slots.give(g.slot)
	g.t.worn = true
	return nil
}
