// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"

	"vipd/loader/object"
)

// States of a [Role], with the kernel's values.
const (
	RoleInit   uint8 = 1
	RoleBackup uint8 = 2
	RoleMaster uint8 = 3
)

const roleShift = 2

// MaxSources bounds the own source addresses of a group.
const MaxSources = 4

// Role is what the agent allows a group to do. Times are CLOCK_BOOTTIME ns.
type Role struct {
	State      uint8
	Generation uint64
	// A MASTER answers until Lease. SendUntil is for a claim: until then its adverts leave as well, only a superior advert
	// makes it yield, and it answers from its first advert on.
	Lease, SendUntil int64
}

// Priority is what nodes compare, as in an advert.
type Priority struct {
	AdvBase, AdvSkew, Demote uint8
}

func (p Priority) word() uint32 {
	return uint32(p.AdvBase)<<16 | uint32(p.AdvSkew)<<8 | uint32(p.Demote)
}

// SetRole stores a role in an order in which every intermediate state is silent: a new MASTER gets its generation last
// except for the lease, a node that steps down loses the role first, and a renewal is the lease alone.
func (g *Group) SetRole(r Role) {
	roles := g.t.roles
	for _, s := range g.stores(r) {
		atomic.StoreUint64(s.word, s.value)
	}
	runtime.KeepAlive(roles)
}

// store is one word for the kernel, which may receive an advert before and after it.
type store struct {
	word  *uint64
	value uint64
}

// stores returns the stores of SetRole in order.
func (g *Group) stores(r Role) []store {
	k := g.t.roles.at(g.slot)
	lease, sendUntil := instant(r.Lease), instant(r.SendUntil)
	roleGen := r.Generation<<roleShift | uint64(r.State)
	switch {
	case r.State != RoleMaster:
		return []store{{&k.RoleGen, roleGen}, {&k.Lease, 0}, {&k.SendUntil, 0}}
	case atomic.LoadUint64(&k.RoleGen) == roleGen:
		return []store{{&k.Lease, lease}, {&k.SendUntil, sendUntil}}
	default:
		return []store{{&k.Lease, 0}, {&k.SendUntil, sendUntil}, {&k.RoleGen, roleGen}, {&k.Lease, lease}}
	}
}

// instant clips a time before the clock began to its beginning.
func instant(ns int64) uint64 { return uint64(max(ns, 0)) }

// Masters reports whether any group on these interfaces is MASTER, adopted ones included.
func (t *Tables) Masters(ifindexes []int) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	defer runtime.KeepAlive(t.roles)
	if t.closed {
		return false
	}
	master := func(key object.BPFGroupKey, slot uint32) bool {
		role := uint8(atomic.LoadUint64(&t.roles.at(slot).RoleGen) & 3)
		return role == RoleMaster && slices.Contains(ifindexes, int(key.Ifindex))
	}
	for key, g := range t.groups {
		if master(key, g.slot) {
			return true
		}
	}
	for key, p := range t.pinned {
		if master(key, p.slot) {
			return true
		}
	}
	return false
}

// Generation returns the generation that SetRole stored last.
func (g *Group) Generation() uint64 {
	roles := g.t.roles
	defer runtime.KeepAlive(roles)
	return atomic.LoadUint64(&roles.at(g.slot).RoleGen) >> roleShift
}

// SetSentPriority stores what foreign adverts are compared with: what this node sent last. Store a worse priority
// before sending it, a better one after.
func (g *Group) SetSentPriority(p Priority) {
	roles := g.t.roles
	atomic.StoreUint64(&roles.at(g.slot).SentPrio, uint64(p.word()))
	runtime.KeepAlive(roles)
}

// RecordSent records an advert before it is sent, so that the kernel recognises it if it loops back. The last eight are
// kept.
func (g *Group) RecordSent(counter uint64, digest [20]byte, p Priority) {
	roles := g.t.roles
	s := &roles.at(g.slot).Sent[g.sent%uint64(len(roles.at(g.slot).Sent))]
	g.sent++
	for i := range s.Digest {
		atomic.StoreUint32(&s.Digest[i], binary.BigEndian.Uint32(digest[4*i:]))
	}
	atomic.StoreUint32(&s.Prio, p.word())
	atomic.StoreUint64(&s.Counter, counter)
	g.SetSequence(counter)
}

// ConfirmSent records that an advert left, by its number: those of nodes that were not heard before have to be above
// it. No peer has heard one that the kernel refused, so others go on below it.
func (g *Group) ConfirmSent(counter uint64) {
	roles := g.t.roles
	atomic.StoreUint64(&roles.at(g.slot).OwnSent, counter)
	runtime.KeepAlive(roles)
}

// SetSequence records the number of this node's newest advert. Adverts from its own addresses up to that number are
// rejected as replay. RecordSent does the same; call SetSequence once before, so that adverts of an earlier run are
// known too.
func (g *Group) SetSequence(number uint64) {
	roles := g.t.roles
	atomic.StoreUint64(&roles.at(g.slot).OwnNumber, number)
	runtime.KeepAlive(roles)
}

// SetSources stores the addresses from which this node sends on the interface, at most [MaxSources]. Adverts sent to
// them are not passed to the stack.
func (g *Group) SetSources(addrs []netip.Addr) error {
	if len(addrs) > MaxSources {
		return fmt.Errorf("%s: %d source addresses: at most %d are allowed", g.name, len(addrs), MaxSources)
	}
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	if err := g.usable(); err != nil {
		return err
	}
	roles := g.t.roles
	k := roles.at(g.slot)
	// None while they are written: at worst an advert of ours is taken for a foreign one.
	atomic.StoreUint64(&k.N_src, 0)
	for i, a := range addrs {
		k.Src[i] = a.As16()
	}
	atomic.StoreUint64(&k.N_src, uint64(len(addrs)))
	runtime.KeepAlive(roles)
	return nil
}

// setContexts writes the auth entry that is not live and then makes it live.
func (g *Group) setContexts(ctxs []AuthContext) error {
	a, err := compileAuth(ctxs)
	if err != nil {
		return fmt.Errorf("%s: %w", g.name, err)
	}
	roles := g.t.roles
	k := roles.at(g.slot)
	next := atomic.LoadUint64(&k.AuthIndex) ^ 1
	if err := g.t.maps.Auth.Put(g.slot*2+uint32(next), a); err != nil {
		return fmt.Errorf("write the keys of %s: %w", g.name, err)
	}
	atomic.StoreUint64(&k.AuthIndex, next)
	runtime.KeepAlive(roles)
	return g.switchCounts(a)
}
