// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync/atomic"

	"github.com/cilium/ebpf"
)

// Event is one authentic advert of another node.
type Event struct {
	// At is when the kernel received it, CLOCK_BOOTTIME ns.
	At      int64
	IfIndex int
	VHID    uint8
	Slot    uint32
	// Generation is the role generation that was in force then.
	Generation uint64
	Src        netip.Addr
	SrcMAC     [6]byte
	AdvBase    uint8
	AdvSkew    uint8
	Demote     uint8
	Counter    uint64
	TTL        uint8
	// Context is the index of the [AuthContext] that fitted.
	Context uint8
	// Yielded: it obliged the kernel to end Generation's right to speak.
	Yielded bool
	// DemoteAware: the source is known to understand the demote byte, so it counted.
	DemoteAware bool
	// DemoteEver: the source has sent a demote byte other than zero.
	DemoteEver bool
	// OwnCounter: another node sent a counter and digest of ours. Suspect, but FreeBSD,
	// NetBSD and ucarp adopt a peer's counter.
	OwnCounter bool
	// Sealed: a vipd node vouches for priority and source.
	Sealed bool
}

// Bits of event.flags in bpf/vipd_types.h.
const (
	eventYielded     = 1
	eventDemoteAware = 2
	eventDemoteEver  = 4
	eventOwnCounter  = 8
	eventSealed      = 16
)

func (e *bpfEvent) event() Event {
	return Event{
		At: int64(e.At), IfIndex: int(e.Ifindex), VHID: e.Vhid, Slot: e.Slot, Generation: e.Generation,
		Src: netip.AddrFrom16(e.Src).Unmap(), SrcMAC: e.SrcMac,
		AdvBase: e.Advbase, AdvSkew: e.Advskew, Demote: e.Demote, Counter: e.Counter,
		TTL: e.Ttl, Context: e.Ctx,
		Yielded:     e.Flags&eventYielded != 0,
		DemoteAware: e.Flags&eventDemoteAware != 0,
		DemoteEver:  e.Flags&eventDemoteEver != 0,
		OwnCounter:  e.Flags&eventOwnCounter != 0,
		Sealed:      e.Flags&eventSealed != 0,
	}
}

// Seen is the kernel's own record of a group, whole even when the ring lost events.
type Seen struct {
	// Event is the newest authentic foreign advert; the zero Event if none was heard.
	Event
	// Count of them since the group was added.
	Count uint64
	// YieldedGeneration and all below may not speak any more.
	YieldedGeneration uint64
	// LimitedAt is when a digest budget last ran out, CLOCK_BOOTTIME ns to within a
	// millisecond, 0 if never. Silence since then is no evidence.
	LimitedAt int64
	// Claim is the [Role.SendUntil] of the newest claim whose advert has left, 0 if none did.
	Claim int64
}

// Seen reads the record, consistent in itself.
func (g *Group) Seen() (Seen, error) {
	g.d.mu.Lock()
	defer g.d.mu.Unlock()
	if err := g.usable(); err != nil {
		return Seen{}, err
	}
	s, err := g.d.readSeen(g.slot)
	if err != nil {
		return Seen{}, fmt.Errorf("read the last advert of %s: %w", g.name, err)
	}
	return s, nil
}

func (d *Dataplane) readSeen(slot uint32) (Seen, error) {
	var s bpfSeen
	if err := d.objs.Seen.LookupWithFlags(slot, &s, ebpf.LookupLock); err != nil {
		return Seen{}, err
	}
	return s.seen(slot), nil
}

func (s *bpfSeen) seen(slot uint32) Seen {
	out := Seen{Count: s.Count, YieldedGeneration: s.YieldedGen, LimitedAt: int64(s.LimitedAt), Claim: int64(s.Claimed)}
	if s.Count > 0 {
		e := bpfEvent{
			At: s.At, Generation: s.Generation, Counter: s.Counter, Ifindex: s.Ifindex, Slot: slot,
			Src: s.Src, SrcMac: s.SrcMac, Vhid: s.Vhid, Advbase: s.Advbase, Advskew: s.Advskew,
			Demote: s.Demote, Ttl: s.Ttl, Ctx: s.Ctx, Flags: s.Flags,
		}
		out.Event = e.event()
	}
	return out
}

// Answering says whether the kernel lets this node speak for the group at now
// (CLOCK_BOOTTIME ns): role MASTER, not yielded, and the lease not over or the advert
// of a claim just gone out.
func (g *Group) Answering(now int64) (bool, error) {
	right := g.right() // before what may have ended it
	seen, err := g.Seen()
	if err != nil {
		return false, err
	}
	return right.holds(seen, now), nil
}

// right is what the agent's last role gives a group.
type right struct{ roleGen, lease, until uint64 }

func (g *Group) right() right {
	t := g.d.roles
	defer runtime.KeepAlive(t)
	k := t.at(g.slot)
	return right{atomic.LoadUint64(&k.RoleGen), atomic.LoadUint64(&k.Lease), atomic.LoadUint64(&k.SendUntil)}
}

func (r right) holds(seen Seen, now int64) bool {
	master := r.roleGen&3 == uint64(RoleMaster) && seen.YieldedGeneration < r.roleGen>>roleShift
	claimed := instant(now) < r.until && r.until == instant(seen.Claim)
	return master && (instant(now) < r.lease || claimed)
}
