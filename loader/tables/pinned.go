// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"

	"vipd/loader/object"
)

// PinnedGroup is the state of a group that an earlier vipd left in the kernel. It stays in force, without a daemon too,
// until the lease ends.
type PinnedGroup struct {
	IfIndex int
	VHID    uint8
	// Role is in force. A new promotion needs a higher generation than every pinned one.
	Role Role
	// SentPriority is what foreign adverts are compared with.
	SentPriority Priority
	// Number is that of this node's newest advert, or of one before; 0 if it sent none.
	Number uint64
	// Seen is the newest advert; its YieldedGeneration may have ended Role.
	Seen Seen
	// VIPs are fenced, and answered for while the group answers. They are sorted.
	VIPs []netip.Addr
}

type pinnedGroup struct {
	slot uint32
	vips map[netip.Addr]uint32
}

// Pinned lists the adopted groups that no [Tables.AddGroup] has claimed yet, sorted by interface and VHID. AddGroup of
// one of them keeps its role, its seen entry and its counters; nothing is withheld any more. Addresses that are not in
// its GroupSpec must be off the interface before, since they lose their fence.
func (t *Tables) Pinned() []PinnedGroup {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	out := make([]PinnedGroup, 0, len(t.pinned))
	for key, p := range t.pinned {
		g := PinnedGroup{IfIndex: int(key.Ifindex), VHID: key.Vhid}
		k := t.roles.at(p.slot)
		roleGen := atomic.LoadUint64(&k.RoleGen)
		g.Role = Role{
			State: uint8(roleGen & 3), Generation: roleGen >> roleShift,
			Lease: int64(atomic.LoadUint64(&k.Lease)), SendUntil: int64(atomic.LoadUint64(&k.SendUntil)),
		}
		prio := atomic.LoadUint64(&k.SentPrio)
		g.SentPriority = Priority{AdvBase: uint8(prio >> 16), AdvSkew: uint8(prio >> 8), Demote: uint8(prio)}
		g.Number = atomic.LoadUint64(&k.OwnNumber)
		var err error
		if g.Seen, err = t.readSeen(p.slot); err != nil { // cannot happen: the array has that slot
			t.opts.Log.Error("cannot read the last advert of an adopted group", "slot", p.slot, "err", err)
		}
		for a := range p.vips {
			g.VIPs = append(g.VIPs, a)
		}
		slices.SortFunc(g.VIPs, netip.Addr.Compare)
		out = append(out, g)
	}
	runtime.KeepAlive(t.roles)
	slices.SortFunc(out, func(a, b PinnedGroup) int {
		if a.IfIndex != b.IfIndex {
			return a.IfIndex - b.IfIndex
		}
		return int(a.VHID) - int(b.VHID)
	})
	return out
}

// Unclaimed lists the addresses of adopted groups that were not claimed. Remove them from their interfaces, then call
// [Tables.DropUnclaimed].
func (t *Tables) Unclaimed() []LeftVIP {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unclaimed()
}

func (t *Tables) unclaimed() []LeftVIP {
	var left []LeftVIP
	for key, p := range t.pinned {
		for a := range p.vips {
			left = append(left, LeftVIP{IfIndex: int(key.Ifindex), Addr: a, VHID: key.Vhid})
		}
	}
	sortLeft(left)
	return left
}

// DropUnclaimed removes the adopted groups that were not claimed. It returns the addresses that have lost their fence,
// the same as [Tables.Unclaimed] before.
func (t *Tables) DropUnclaimed() ([]LeftVIP, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, object.ErrClosed
	}
	left := t.unclaimed()
	var errs []error
	for key, p := range t.pinned {
		g := t.newGroup(key)
		g.slot, g.vips = p.slot, p.vips
		if err := g.remove(); err != nil {
			errs = append(errs, fmt.Errorf("remove %s: %w", g.name, err))
			continue
		}
		delete(t.pinned, key)
	}
	return left, errors.Join(errs...)
}

// claim makes g the adopted group p, with the settings of s.
func (g *Group) claim(p *pinnedGroup, s GroupSpec) error {
	g.slot, g.vips = p.slot, p.vips
	g.t.roles.permit(g.slot, [2]int64{}) // what the earlier vipd knew, this one does not
	live := atomic.LoadUint64(&g.t.roles.at(g.slot).AuthIndex) & 1
	runtime.KeepAlive(g.t.roles)
	var a object.BPFAuth
	if err := g.t.maps.Auth.Lookup(g.slot*2+uint32(live), &a); err != nil {
		return fmt.Errorf("read its keys: %w", err)
	}
	n := min(a.N, MaxContexts)
	g.contexts = contextCounts{ctxs: slices.Clone(a.Ctx[:n]), carried: make([]uint64, n), base: make([]uint64, n)}
	if err := g.apply(s); err != nil {
		return err
	}
	delete(g.t.pinned, g.key)
	g.t.groups[g.key] = g
	return nil
}

// Adopt reads the groups and their addresses from the maps, and checks that they are consistent: a slot of two groups
// would mix them up for ever.
func (t *Tables) Adopt() (groups int, err error) {
	t.pinned = make(map[object.BPFGroupKey]*pinnedGroup)
	bySlot, vipSlots := make(map[uint32]object.BPFGroupKey), make(map[uint32]bool)
	used := make(map[uint32]bool)
	vals, places := make(map[object.BPFGroupKey]object.BPFGroupVal), make(map[uint64]bool)
	fenced := make(map[uint32][]object.BPFVipKey) // by place
	var key object.BPFGroupKey
	var val object.BPFGroupVal
	it := t.maps.Groups.Iterate()
	for it.Next(&key, &val) {
		if val.Slot >= t.slots.bound || used[val.Slot] {
			return 0, fmt.Errorf(
				"vhid %d on interface %d has slot %d, which is impossible or another's",
				key.Vhid,
				key.Ifindex,
				val.Slot,
			)
		}
		used[val.Slot], bySlot[val.Slot] = true, key
		vals[key], places[placeKey(key)] = val, true
		t.pinned[key] = &pinnedGroup{slot: val.Slot, vips: make(map[netip.Addr]uint32)}
	}
	var vipKey object.BPFVipKey
	var vip object.BPFVipVal
	vips := t.maps.Vips.Iterate()
	for vips.Next(&vipKey, &vip) {
		addr := netip.AddrFrom16(vipKey.Addr).Unmap()
		owner, ok := bySlot[vip.Group]
		if !ok || owner.Ifindex != vipKey.Ifindex || vip.Vip >= t.vipSlots.bound || vipSlots[vip.Vip] {
			return 0, fmt.Errorf(
				"address %s on interface %d belongs to no group, or its slot %d is another's",
				addr,
				vipKey.Ifindex,
				vip.Vip,
			)
		}
		vipSlots[vip.Vip] = true
		t.pinned[owner].vips[addr] = vip.Vip
		t.vipPlace.put(vipKey, vip)
		fenced[vipIndex(vipKey)] = append(fenced[vipIndex(vipKey)], vipKey)
	}
	for key, val := range vals {
		t.place.put(key, val)
	}
	t.place.keep(func(key uint64) bool { return places[key] })
	t.vipPlace.keep(fenced)
	t.slots.reserve(used)
	t.vipSlots.reserve(vipSlots)
	return len(t.pinned), errors.Join(it.Err(), vips.Err())
}
