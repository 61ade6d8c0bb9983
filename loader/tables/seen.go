// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"vipd/loader/object"
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
	// Context is the index of the [AuthContext] that matched.
	Context uint8
	// Yielded means that the advert made the kernel end Generation's right to speak.
	Yielded bool
	// DemoteAware means that the source is known to obey the demote byte, so the byte counted.
	DemoteAware bool
	// DemoteEver means that the source has sent a non-zero demote byte.
	DemoteEver bool
	// OwnCounter means that another node sent a counter and digest of ours. That is suspect, but FreeBSD, NetBSD and ucarp
	// adopt a peer's counter.
	OwnCounter bool
	// Proven means that a trailer proves that a vipd node sent exactly this. Counter is then its number.
	Proven bool
	// Beat is within how many microseconds the next advert comes; 0: within the interval that AdvBase and AdvSkew state.
	Beat uint16
}

// Bits of event.flags in bpf/vipd_types.h.
const (
	eventYielded     = 1
	eventDemoteAware = 2
	eventDemoteEver  = 4
	eventOwnCounter  = 8
	eventProven      = 16
)

func eventOf(e *object.BPFEvent) Event {
	return Event{
		At: int64(e.At), IfIndex: int(e.Ifindex), VHID: e.Vhid, Slot: e.Slot, Generation: e.Generation,
		Src: netip.AddrFrom16(e.Src).Unmap(), SrcMAC: e.SrcMac,
		AdvBase: e.Advbase, AdvSkew: e.Advskew, Demote: e.Demote, Counter: e.Counter,
		TTL: e.Ttl, Context: e.Ctx,
		Yielded:     e.Flags&eventYielded != 0,
		DemoteAware: e.Flags&eventDemoteAware != 0,
		DemoteEver:  e.Flags&eventDemoteEver != 0,
		OwnCounter:  e.Flags&eventOwnCounter != 0,
		Proven:      e.Flags&eventProven != 0,
		Beat:        e.Beat,
	}
}

// Seen is what the kernel saw last of a group. It is complete even when the ring lost events.
type Seen struct {
	// Event is the newest authentic foreign advert; the zero Event if none was heard.
	Event
	// Count is the number of such adverts since the group was added.
	Count uint64
	// YieldedGeneration and all generations below have lost their right to speak.
	YieldedGeneration uint64
	// LimitedAt is when a digest budget last ran out (CLOCK_BOOTTIME ns, to within a millisecond), 0 if never. Silence
	// since then proves nothing.
	LimitedAt int64
	// Claim is the [Role.SendUntil] of the newest claim whose advert has left, 0 if none has.
	Claim int64
	// NoRoomAt is when a vipd node last proved itself that the kernel has no room to remember, CLOCK_BOOTTIME ns, 0 if
	// none did since [Group.ForgetNoRoom]. For the memory of peers from then on, sources that are not known are believed
	// with a trailer only.
	NoRoomAt int64
}

// Seen reads the seen entry of the group, consistently.
func (g *Group) Seen() (Seen, error) {
	g.t.mu.RLock()
	defer g.t.mu.RUnlock()
	if err := g.usable(); err != nil {
		return Seen{}, err
	}
	s, err := g.t.readSeen(g.slot)
	if err != nil {
		return Seen{}, fmt.Errorf("read the last advert of %s: %w", g.name, err)
	}
	return s, nil
}

// latest is the seen entry as the owner of the setters read it last.
type latest struct {
	noted // before it was read
	read  bool
	entry object.BPFSeen
}

// noted is what XDP has last noted in the seen entry.
type noted struct {
	count   uint64 // of adverts
	doubted int64  // when it refused any unread, or had no room for a peer
}

// doubtful is for how long after that the entry is read in any case: the two stores may be seen in the other order.
const doubtful = int64(time.Second)

// Latest is Seen without a system call as long as nothing has changed, but for Claim, which may be older. It is for the
// goroutine that owns the setters; now is CLOCK_BOOTTIME ns.
func (g *Group) Latest(now int64) (Seen, error) {
	g.t.mu.RLock()
	defer g.t.mu.RUnlock()
	if err := g.usable(); err != nil {
		return Seen{}, err
	}
	l, is := &g.latest, g.t.roles.noted(g.slot)
	if !l.read || l.noted != is || now-is.doubted < doubtful {
		l.read = false
		if err := g.t.lookupSeen(g.slot, &l.entry); err != nil {
			return Seen{}, fmt.Errorf("read the last advert of %s: %w", g.name, err)
		}
		l.noted, l.read = is, true
	}
	return g.t.seenOf(&l.entry, g.slot), nil
}

func (t *Tables) readSeen(slot uint32) (Seen, error) {
	var s object.BPFSeen
	if err := t.lookupSeen(slot, &s); err != nil {
		return Seen{}, err
	}
	return t.seenOf(&s, slot), nil
}

func (t *Tables) lookupSeen(slot uint32, s *object.BPFSeen) error {
	return lookupLocked(t.maps.Seen, slot, s)
}

func (t *Tables) seenOf(s *object.BPFSeen, slot uint32) Seen {
	out := Seen{
		Count: s.Count, YieldedGeneration: s.YieldedGen, LimitedAt: int64(s.LimitedAt), Claim: int64(s.Claimed),
		NoRoomAt: t.roles.noRoomAt(slot, s.NoRoomAt),
	}
	if s.Count > 0 {
		e := object.BPFEvent{
			At: s.At, Generation: s.Generation, Counter: s.Counter, Ifindex: s.Ifindex, Slot: slot,
			Src: s.Src, SrcMac: s.SrcMac, Vhid: s.Vhid, Advbase: s.Advbase, Advskew: s.Advskew,
			Demote: s.Demote, Ttl: s.Ttl, Ctx: s.Ctx, Flags: s.Flags, Beat: s.Beat,
		}
		out.Event = eventOf(&e)
	}
	return out
}

// Answering reports whether the kernel lets this node speak for the group at now (CLOCK_BOOTTIME ns): role MASTER, not
// yielded, and either the lease is not over or the advert of a claim has just left.
func (g *Group) Answering(now int64) (bool, error) {
	right := g.right() // read before what may have ended it
	seen, err := g.Seen()
	if err != nil {
		return false, err
	}
	return right.holds(seen, now), nil
}

// right is what the agent's last role entitles a group to.
type right struct{ roleGen, lease, until uint64 }

func (g *Group) right() right {
	roles := g.t.roles
	defer runtime.KeepAlive(roles)
	k := roles.at(g.slot)
	return right{atomic.LoadUint64(&k.RoleGen), atomic.LoadUint64(&k.Lease), atomic.LoadUint64(&k.SendUntil)}
}

func (r right) holds(seen Seen, now int64) bool {
	master := r.roleGen&3 == uint64(RoleMaster) && seen.YieldedGeneration < r.roleGen>>roleShift
	claimed := instant(now) < r.until && r.until == instant(seen.Claim)
	return master && (instant(now) < r.lease || claimed)
}
