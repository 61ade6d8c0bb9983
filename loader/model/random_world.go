// SPDX-License-Identifier: Apache-2.0

package model

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/cilium/ebpf"

	"vipd/loader/object"
	"vipd/loader/tables"
)

// randomWorld surrounds the frames with an agent that writes and time that passes.
type randomWorld struct {
	*rand.Rand
	*twinned
	acts     []string // the last few
	outgoing bool     // the frame at hand is one that a host sends
	heard    [][]byte // some of the frames so far
	next     []byte   // the frame to come, if it is known
	history  peerHistory
}

func oneOf[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// Addresses whose halves give the same word by exclusive or, like those of another group: they may share one place.
var (
	SharesWith6 = netip.MustParseAddr("2001:db8:0:1::101")            // 2001:db8::100
	SharesWith4 = netip.MustParseAddr("2001:db8::2001:f247:c000:232") // 192.0.2.50
	Shares      = netip.MustParseAddr("2001:db8:0:2::102")            // 2001:db8::100, and is nobody's
)

var (
	otherNIC = [6]byte{2, 0, 0, 0, 0, 0x0c}
	otherKey = [16]byte{1}
	// VIPs4 are the addresses of the group with IPv4 only.
	VIPs4  = []netip.Addr{netip.MustParseAddr("192.0.2.50"), netip.MustParseAddr("192.0.2.51")}
	vips6  = []netip.Addr{SharesWith6, SharesWith4, netip.MustParseAddr("2001:db8::300")}
	peers4 = []netip.Addr{
		PeerAddr, PeerAddr, netip.MustParseAddr("192.0.2.3"), netip.MustParseAddr("10.0.0.200"), ownAddr,
		netip.IPv4Unspecified(),
	}
	peers6 = []netip.Addr{
		PeerAddr6,
		PeerAddr6,
		netip.MustParseAddr("fe80::3"),
		ownAddr6,
		netip.IPv6Unspecified(),
		netip.AddrFrom16(ownAddr.As16()),
	}
)

// specs returns three groups of one interface: of both families, of IPv4 and of IPv6 only.
func (s *randomWorld) specs() []tables.GroupSpec {
	all := []tables.GroupSpec{s.spec(1), s.spec(2), s.spec(3)}
	s.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// addressesOf are those that a group may have.
func addressesOf(vhid uint8) []netip.Addr {
	return [...][]netip.Addr{1: {netip.MustParseAddr("192.0.2.1"), VIP6}, 2: VIPs4, 3: vips6}[vhid]
}

func (s *randomWorld) spec(vhid uint8) tables.GroupSpec {
	vips := slices.Clone(addressesOf(vhid))
	if s.IntN(3) == 0 { // but one
		vips = slices.Delete(vips, 0, 1)
	}
	g := tables.GroupSpec{IfIndex: LoIndex, VHID: vhid, NICMAC: oneOf(s.Rand, NICMAC, NICMAC, otherNIC), VIPs: vips}
	g.Router, g.StrictReplay = s.IntN(2) == 0, s.IntN(2) == 0
	g.TTL = oneOf(s.Rand, tables.TTLStrict, tables.TTLAny, "")
	g.RequireTrailer = s.IntN(5) == 0
	g.PeerMemory = oneOf(s.Rand, 0, time.Second, 24*time.Hour)
	keys := oneOf(s.Rand, 0, 1, 1, 2, 3, 4, 8)
	if s.history.on && vhid == 1 {
		g.StrictReplay, g.RequireTrailer, keys = true, false, max(keys, 1)
	}
	for i := range keys {
		c := tables.AuthContext{
			Key:        goldenKey,
			Prefix:     prefix(vhid, vips),
			TrailerKey: oneOf(s.Rand, trailerKey(), trailerKey(), otherKey, [16]byte{}),
		}
		if i > 0 { // the lengths decide in how many blocks a digest is made, and where the counter is
			c.Key, c.Prefix = []byte(fmt.Sprint("key ", i)), c.Prefix[:3]
			for range s.IntN(20) {
				c.Prefix = append(c.Prefix, 192, 0, 2, byte(s.Uint32()))
			}
			c.Prefix = append(c.Prefix, make([]byte, s.IntN(4))...)
		}
		if (g.RequireTrailer || s.history.on && i == 0) && c.TrailerKey == [16]byte{} {
			c.TrailerKey = trailerKey()
		}
		g.Contexts = append(g.Contexts, c)
	}
	return g
}

// some returns a group, mostly the first.
func (s *randomWorld) some() (*twinGroup, *tables.Group) {
	vhid := oneOf[uint8](s.Rand, 1, 1, 2, 3)
	return s.w.groups[vhid], s.groups[vhid]
}

func (s *randomWorld) priority() tables.Priority {
	switch s.IntN(8) {
	case 0:
		return tables.Priority{AdvBase: 255, AdvSkew: 255, Demote: uint8(s.IntN(3))}
	case 1:
		return prio(uint8(s.Uint32()), uint8(s.Uint32()), uint8(s.Uint32()))
	}
	return tables.Priority{AdvBase: uint8(s.IntN(3)), AdvSkew: uint8(s.IntN(4)), Demote: uint8(max(0, s.IntN(6)-3))}
}

// act lets the agent do something, or time pass.
func (s *randomWorld) act() error {
	g, kernel := s.some()
	what, err := "", error(nil)
	switch s.IntN(20) {
	default:
		what = s.becomes(g, kernel)
	case 5, 6:
		if g.sent = s.priority(); s.IntN(2) == 0 {
			g.sent = tables.Priority{} // the best
		}
		kernel.SetSentPriority(g.sent)
		what = fmt.Sprintf("sent %v", g.sent)
	case 7, 8:
		what = s.sends(g, kernel)
	case 9:
		g.number = s.number(g, PeerAddr)
		kernel.SetSequence(g.number)
		what = fmt.Sprint("sequence ", g.number)
	case 10:
		all := []netip.Addr{ownAddr, ownAddr6, netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::9")}
		s.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		g.sources = all[:s.IntN(5)]
		err = kernel.SetSources(g.sources)
		what = fmt.Sprint("sources ", g.sources)
	case 11:
		g.GroupSpec = s.spec(g.VHID)
		err = kernel.Update(g.GroupSpec)
		err = errors.Join(err, s.count())
		what = fmt.Sprintf(
			"%v, %d contexts, ttl %s, trailer %v, memory %s, strict %v",
			g.VIPs,
			len(g.Contexts),
			g.TTL,
			g.RequireTrailer,
			g.PeerMemory,
			g.StrictReplay,
		)
	case 12:
		g.spent = [3]int64{s.budget(class1Cost), s.budget(class2Cost), s.budget(hellosCost)}
		g.limited = oneOf(s.Rand, 0, BootNow()-int64(s.IntN(4e6)))
		err = errors.Join(s.putBudget(g), s.putLimited(g))
		what = fmt.Sprint("spent until ", g.spent)
	case 13, 14:
		ticks := int64(oneOf(s.Rand, 1, 2, 3, 40, 1100))
		err = s.elapse(ticks)
		what = fmt.Sprint(ticks, " ticks go by")
	case 16, 17:
		for f := range g.settled {
			g.settled[f] = oneOf(s.Rand, 0, 1, g.repeats[f].told-1, g.repeats[f].told, g.repeats[f].told, g.last.At)
		}
		kernel.Withhold(g.settled)
		what = fmt.Sprint("withholds repetitions of ", g.settled)
	case 15:
		clear(g.peers)
		clear(g.proven)
		err = errors.Join(s.forget(s.Plane.Objects.Sources, g.slot), s.forget(s.Plane.Objects.Peers, g.slot))
		what = "sources are forgotten"
	}
	s.acts = append(s.acts, fmt.Sprintf("vhid %d: %s", g.VHID, what))
	s.acts = s.acts[max(0, len(s.acts)-12):]
	return err
}

// becomes sets a role. Most leases end far in the future, so that no test races with the clock; some end now.
func (s *randomWorld) becomes(g *twinGroup, kernel *tables.Group) string {
	r := tables.Role{
		State: oneOf(
			s.Rand,
			tables.RoleMaster,
			tables.RoleMaster,
			tables.RoleMaster,
			tables.RoleBackup,
			tables.RoleBackup,
			tables.RoleInit,
		),
		Generation: g.role.Generation + uint64(oneOf(s.Rand, 0, 1, 1, 2)),
	}
	now := BootNow()
	at := func() int64 {
		return oneOf(s.Rand, 0, 1, now-1e9, now+int64(s.IntN(2e6)), now+3600e9, now+3600e9+int64(s.IntN(1e6)))
	}
	if r.State == tables.RoleMaster {
		if r.Lease = at(); s.IntN(4) != 0 {
			r.Lease = now + 3600e9
		}
		if s.IntN(2) == 0 {
			r.SendUntil = at()
		}
	}
	kernel.SetRole(r)
	g.role = r
	return fmt.Sprintf("role %+v", r)
}

// sends records an advert of ours as the agent does before it leaves.
func (s *randomWorld) sends(g *twinGroup, kernel *tables.Group) string {
	sent := twinSent{
		counter:  oneOf(s.Rand, s.Uint64(), g.last.Counter+1, g.last.Counter+1000, s.number(g, PeerAddr)),
		Priority: s.priority(),
	}
	if len(g.Contexts) == 0 {
		return "no key to send with"
	}
	copy(sent.digest[:], digestOf(g.Contexts[0], sent.counter))
	kernel.RecordSent(sent.counter, sent.digest, sent.Priority)
	g.own = append(g.own, sent)
	g.own = g.own[max(0, len(g.own)-8):]
	g.number = sent.counter
	if s.IntN(4) != 0 {
		kernel.ConfirmSent(sent.counter)
		g.sentNow = sent.counter
	}
	return fmt.Sprintf("records %x %v", sent.counter, sent.Priority)
}

// budget returns up to when a class is spent: not at all, a few digests left, some left to lend, or none for long.
func (s *randomWorld) budget(cost int64) int64 {
	now := BootNow()
	return oneOf(s.Rand, 0, 0, now-int64(s.IntN(4))*cost-cost/2, now-class1Kept+int64(s.IntN(2e6)), now+3600e9)
}

func (s *randomWorld) putBudget(g *twinGroup) error {
	cpus := make([]object.BPFBudget, ebpf.MustPossibleCPU())
	cpus[s.cpu] = object.BPFBudget{
		Class1: uint64(g.spent[0]), Class2: uint64(g.spent[1]), Hellos: uint64(g.spent[2]),
	}
	return s.Plane.Objects.Budget.Put(g.slot, cpus)
}

// forget removes what a map has of a group.
func (s *randomWorld) forget(m *ebpf.Map, slot uint32) error {
	var errs []error
	for _, k := range s.keys(m) {
		if k.Slot == slot {
			errs = append(errs, m.Delete(k))
		}
	}
	return errors.Join(errs...)
}

// reads lets the agent permit that what it was just told is withheld from now on.
func (s *randomWorld) reads(g *twinGroup, e *tables.Event) {
	f := familyOf(e)
	g.settled[f] = e.At
	s.groups[g.VHID].Withhold(g.settled)
}

// putLimited writes when a budget ran out.
func (s *randomWorld) putLimited(g *twinGroup) error {
	var seen object.BPFSeen
	err := s.Plane.Objects.Seen.Lookup(g.slot, &seen)
	seen.LimitedAt = uint64(g.limited)
	return errors.Join(err, s.Plane.Objects.Seen.Put(g.slot, seen))
}

// elapse lets ticks of 2^26 ns pass for everything kept, by moving it into the past. Leases belong to the agent.
func (s *randomWorld) elapse(ticks int64) error {
	ns := ticks << 26
	var errs []error
	for _, g := range s.w.groups {
		past := func(t *int64) { *t = max(0, *t-ns) }
		if g.heard > 0 && g.last.At <= ns { // the machine has just booted
			continue
		}
		past(&g.limited)
		past(&g.spent[0])
		past(&g.spent[1])
		past(&g.spent[2])
		var seen object.BPFSeen
		errs = append(errs, s.Plane.Objects.Seen.Lookup(g.slot, &seen))
		if g.heard > 0 {
			g.last.At -= ns
			seen.At -= uint64(ns)
			past(&g.told.at)
			seen.ToldAt = uint64(g.told.at)
		}
		seen.LimitedAt = uint64(g.limited)
		errs = append(errs, s.Plane.Objects.Seen.Put(g.slot, seen), s.putBudget(g))
		for f := range g.repeats {
			var h object.BPFHeard
			key := g.slot*2 + uint32(f)
			errs = append(errs, s.Plane.Objects.Heard.Lookup(key, &h))
			r := &g.repeats[f]
			past(&r.at)
			past(&r.told)
			past(&g.settled[f])
			h.At, h.ToldAt = uint64(r.at), uint64(r.told)
			errs = append(errs, s.Plane.Objects.Heard.Put(key, h))
		}
		s.groups[g.VHID].Withhold(g.settled)
		for src, p := range g.peers {
			var v object.BPFSourceVal
			key := object.BPFSourceKey{Slot: g.slot, Src: src.As16()}
			errs = append(errs, s.Plane.Objects.Sources.Lookup(key, &v))
			past(&p.jumped)
			p.changed -= uint16(ticks)
			v.JumpAt, v.Since = uint64(p.jumped), p.changed
			g.peers[src] = p
			errs = append(errs, s.Plane.Objects.Sources.Put(key, v))
		}
		for src, p := range g.proven {
			var v object.BPFPeerVal
			key := object.BPFSourceKey{Slot: g.slot, Src: src.As16()}
			errs = append(errs, s.Plane.Objects.Peers.Lookup(key, &v))
			past(&p.at)
			past(&p.helloAt)
			v.At, v.HelloAt = uint64(p.at), uint64(p.helloAt)
			g.proven[src] = p
			errs = append(errs, s.Plane.Objects.Peers.Put(key, v))
		}
	}
	return errors.Join(errs...)
}
