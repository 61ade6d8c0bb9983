// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"vipd/agent/conflict"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/wire"
	"vipd/loader"
)

// defender carries the data plane's claims to the groups they concern, and knows which of these have something due.
type defender struct {
	claims []loader.Claim // reused
	busy   map[*group]struct{}
}

// conflicts are other hosts that announce a group's addresses.
type conflicts struct {
	watch conflict.Watch
	view  *conflict.View // nil: none so far
}

// noteClaims hands what the last drain has read to the groups.
func (l *Loop) noteClaims() {
	d := &l.defender
	d.claims = l.plane.Claims(d.claims[:0])
	for _, c := range d.claims {
		g := l.groups.at(c.IfIndex, c.VHID)
		if g == nil || g.entry.plane == nil || g.entry.plane.Slot() != c.Slot {
			continue // it was removed meanwhile
		}
		g.conflicts.watch.Note(conflict.Claim{
			At: time.Duration(c.At), Addr: c.Addr, MAC: c.MAC, Source: c.Source, Count: uint64(c.Count),
		})
		if d.busy == nil {
			d.busy = make(map[*group]struct{})
		}
		d.busy[g] = struct{}{}
	}
}

// next returns when the earliest judgement is due; false if there is none.
func (d *defender) next() (at election.Instant, ok bool) {
	for g := range d.busy {
		if next, due := g.conflicts.watch.Next(); due && (!ok || election.Instant(next) < at) {
			at, ok = election.Instant(next), true
		}
	}
	return at, ok
}

// defend has the groups judge the claims that are due.
func (l *Loop) defend(now election.Instant) {
	for g := range l.defender.busy {
		next, ok := g.conflicts.watch.Next()
		if !ok {
			delete(l.defender.busy, g)
		}
		if ok && election.Instant(next) <= now {
			g.defend(now)
		}
	}
}

// defend judges the claims and announces the addresses that are ours.
func (g *group) defend(now election.Instant) {
	out := g.conflicts.watch.Judge(time.Duration(now), g.standing())
	for _, addr := range out.Announce {
		g.announceAddress(addr)
	}
	for i := range out.Reports {
		g.reportConflict(&out.Reports[i])
	}
	if out.Changed {
		g.conflicts.view = g.conflicts.watch.View()
		g.publish()
	}
}

// standing is what the group's claims are judged by.
func (g *group) standing() conflict.Standing {
	balanced := wire.VirtualMAC(g.cfg.VHID) // of OpenBSD's load balancing
	balanced[0] = 1
	s := conflict.Standing{Legitimate: []conflict.MAC{wire.VirtualMAC(g.cfg.VHID), balanced}}
	if g.cfg.LLAddr != nil {
		s.Legitimate = append(s.Legitimate, *g.cfg.LLAddr)
	}
	switch g.machine.State() {
	case election.Master:
		s.State = conflict.Master
	case election.Backup:
		s.State = conflict.Backup
	default:
		return s
	}
	if g.entry.plane == nil {
		return s
	}
	// What the kernel saw may be newer than what the machine has heard.
	seen, err := g.entry.plane.Seen()
	if err == nil && seen.Count > 0 && seen.SrcMAC == wire.UcarpMAC(g.cfg.VHID) {
		s.Ucarp, s.UcarpAt = seen.Src, time.Duration(seen.At)
	}
	return s
}

// keepConflicts forgets those of addresses that the group no longer has.
func (g *group) keepConflicts() {
	c := &g.conflicts
	if c.view == nil {
		return
	}
	has := make(map[netip.Addr]bool, len(g.cfg.Addresses))
	for _, p := range g.cfg.Addresses {
		has[p.Addr()] = true
	}
	c.watch.Keep(func(addr netip.Addr) bool { return has[addr] })
	c.view = c.watch.View()
}

// reportConflict logs and records once what the counters go on counting.
func (g *group) reportConflict(r *conflict.Report) {
	e := g.env
	state := g.machine.State().String()
	c := &api.Conflict{MAC: net.HardwareAddr(r.MAC[:]).String(), Addresses: make([]string, 0, len(r.Addresses))}
	if r.Source != r.MAC {
		c.Source = net.HardwareAddr(r.Source[:]).String()
	}
	for _, addr := range r.Addresses {
		c.Addresses = append(c.Addresses, addr.String())
	}
	attrs := []any{"group", g.name, "state", state, "mac", c.MAC, "addresses", someOf(c.Addresses)}
	if c.Source != "" {
		attrs = append(attrs, "frame_source", c.Source)
	}
	e.log.Warn("another host announces addresses of this group", attrs...)
	at := e.clock.At(election.Instant(r.At))
	t := api.Transition{
		Time: at, Group: g.name, From: state, To: state, Reason: api.ReasonAddressConflict,
		Detail:     fmt.Sprintf("%s announced %s", c.MAC, someOf(c.Addresses)),
		Generation: g.machine.View().Generation, Conflict: c,
	}
	e.history.Add(t)
	e.stream.Tell(api.Event{Time: at, Event: api.EventConflict, Transition: &t})
}

// maxNamed bounds how many addresses a sentence names.
const maxNamed = 4

func someOf(addrs []string) string {
	if len(addrs) <= maxNamed {
		return strings.Join(addrs, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(addrs[:maxNamed], ", "), len(addrs)-maxNamed)
}
