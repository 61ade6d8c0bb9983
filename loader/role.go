// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
)

// States of a [Role], as the kernel knows them.
const (
	RoleInit   uint8 = 1
	RoleBackup uint8 = 2
	RoleMaster uint8 = 3
)

const roleShift = 2

// MaxSources bounds the own source addresses of a group.
const MaxSources = 4

// Role is what the agent lets a group do. Times are CLOCK_BOOTTIME ns.
type Role struct {
	State      uint8
	Generation uint64
	// Lease: until then a MASTER answers. SendUntil, of a claim: until then its adverts leave,
	// too, only a superior advert makes it yield, and it answers from the first of them on.
	Lease, SendUntil int64
}

// Priority is what is compared between nodes, as it stands in an advert.
type Priority struct {
	AdvBase, AdvSkew, Demote uint8
}

func (p Priority) word() uint32 {
	return uint32(p.AdvBase)<<16 | uint32(p.AdvSkew)<<8 | uint32(p.Demote)
}

// SetRole stores a role in the order that keeps the kernel on the safe side
// throughout: a new MASTER gets its generation last but for the lease, one that
// ceases loses the role first, a renewal is the lease alone.
func (g *Group) SetRole(r Role) {
	t := g.d.roles
	for _, s := range g.stores(r) {
		atomic.StoreUint64(s.word, s.value)
	}
	runtime.KeepAlive(t)
}

// store is one word for the kernel, which may take in an advert before and after it.
type store struct {
	word  *uint64
	value uint64
}

// stores are those of SetRole, in their order.
func (g *Group) stores(r Role) []store {
	k := g.d.roles.at(g.slot)
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

// instant: before the clock began is as good as when it began.
func instant(ns int64) uint64 { return uint64(max(ns, 0)) }

// Generation is the one that SetRole stored last.
func (g *Group) Generation() uint64 {
	t := g.d.roles
	defer runtime.KeepAlive(t)
	return atomic.LoadUint64(&t.at(g.slot).RoleGen) >> roleShift
}

// SetSentPriority stores what foreign adverts are compared with: what this node
// last sent. A worse one before it is sent, a better one after.
func (g *Group) SetSentPriority(p Priority) {
	t := g.d.roles
	atomic.StoreUint64(&t.at(g.slot).SentPrio, uint64(p.word()))
	runtime.KeepAlive(t)
}

// RecordSent notes an advert, before it is sent, so that the kernel knows it again
// when it comes back in a loop. The last eight are remembered.
func (g *Group) RecordSent(counter uint64, digest [20]byte, p Priority) {
	t := g.d.roles
	s := &t.at(g.slot).Sent[g.sent%uint64(len(t.at(g.slot).Sent))]
	g.sent++
	for i := range s.Digest {
		atomic.StoreUint32(&s.Digest[i], binary.BigEndian.Uint32(digest[4*i:]))
	}
	atomic.StoreUint32(&s.Prio, p.word())
	atomic.StoreUint64(&s.Counter, counter)
	if g.seals.Load() {
		g.SetSequence(uint32(counter >> 32))
	}
	runtime.KeepAlive(t)
}

// SetSequence notes the sequence number of the newest sealed advert of this node.
// Sealed adverts from its own addresses up to that come back as replay. RecordSent
// does the same for groups with a SealKey; call this once before, so that adverts of
// an earlier run are known, too.
func (g *Group) SetSequence(seq uint32) {
	t := g.d.roles
	atomic.StoreUint64(&t.at(g.slot).OwnSeq, ownSeqKnown|uint64(seq))
	runtime.KeepAlive(t)
}

// ownSeqKnown is OWN_SEQ_KNOWN of bpf/replay.h.
const ownSeqKnown = 1 << 32

// SetSources stores the addresses that this node sends from on the interface, at
// most [MaxSources]. Adverts to them end in the kernel.
func (g *Group) SetSources(addrs []netip.Addr) error {
	if len(addrs) > MaxSources {
		return fmt.Errorf("%s: %d source addresses: at most %d are allowed", g.name, len(addrs), MaxSources)
	}
	g.d.mu.Lock()
	defer g.d.mu.Unlock()
	if err := g.usable(); err != nil {
		return err
	}
	t := g.d.roles
	k := t.at(g.slot)
	// None while they are written: an advert of ours would at worst be taken for another's.
	atomic.StoreUint64(&k.N_src, 0)
	for i, a := range addrs {
		k.Src[i] = a.As16()
	}
	atomic.StoreUint64(&k.N_src, uint64(len(addrs)))
	runtime.KeepAlive(t)
	return nil
}

// setContexts fills the auth entry that is not live and then makes it so.
func (g *Group) setContexts(ctxs []AuthContext) error {
	a, err := compileAuth(ctxs)
	if err != nil {
		return fmt.Errorf("%s: %w", g.name, err)
	}
	t := g.d.roles
	k := t.at(g.slot)
	next := atomic.LoadUint64(&k.AuthIndex) ^ 1
	if err := g.d.objs.Auth.Put(g.slot*2+uint32(next), a); err != nil {
		return fmt.Errorf("write the keys of %s: %w", g.name, err)
	}
	atomic.StoreUint64(&k.AuthIndex, next)
	g.seals.Store(slices.ContainsFunc(ctxs, func(c AuthContext) bool { return c.SealKey != SealKey{} }))
	runtime.KeepAlive(t)
	return g.switchCounts(a)
}
