// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/agent/wire"
)

// onHost is what of a group is on the host.
type onHost struct {
	addresses map[netip.Addr]placed
	routes    map[netip.Addr]netip.Prefix // connected routes of ours, by the address that they serve
	local     localRoutes
	looksAt   bool // the kernel is asked for routes from time to time
	rerouted  bool // the last look found one of them deleted
	placing   placing
	waits     bool   // in the list of groups that have something left to do
	lapsed    bool   // addresses were not renewed, since the lease had ended
	fault     string // why addresses or routes are not complete, "" when they are
	restores  restores
}

// placed is an address on the host.
type placed struct {
	netip.Prefix
	at election.Instant // when it was put there or renewed last; 0: by an earlier vipd
}

// placing is one pass over the group's addresses that puts them on the host.
type placing struct {
	active bool
	next   int // in the list of addresses
	errs   []error
}

// budget bounds how many addresses are put on the host in one go, and for how long.
type budget struct {
	addresses int
	time      time.Duration
}

var (
	// claimBudget is for the moment between role and advert: peers and clients wait for the advert, not for the last
	// of a thousand addresses.
	claimBudget = budget{addresses: 256, time: 20 * time.Millisecond}
	// turnBudget is for what is left over: other groups wait for their adverts.
	turnBudget = budget{addresses: 64, time: 2 * time.Millisecond}
)

// renewEvery is when an address is renewed: a busy or stopped agent has two more intervals before the kernel removes
// it.
const renewEvery = netio.VIPLife / 3

// putVIPs begins to put the group's addresses on the host and the virtual MAC into the NIC's filter. What exceeds the
// budget comes with later rounds of the loop; what fails is logged and tried again with the next advert.
func (g *group) putVIPs() {
	if g.iface == nil || !g.iface.opened {
		return
	}
	on := &g.onHost
	g.env.groups.wait(g)
	on.placing, on.lapsed, on.local.leaving = placing{active: true}, false, nil
	if len(on.addresses) == 0 {
		err := g.env.host.AddMAC(g.iface.link.Index, wire.VirtualMAC(g.cfg.VHID))
		on.placing.errs = append(on.placing.errs, err)
	}
	g.goOnPlacing(claimBudget)
}

// goOnPlacing puts addresses on the host until all are there or the budget is spent.
func (g *group) goOnPlacing(limit budget) {
	if g.iface == nil || !g.iface.opened {
		g.onHost.placing = placing{}
		return
	}
	e, p := g.env, &g.onHost.placing
	started, first := e.clock.Now(), p.next
	if g.cfg.ByRoutes() {
		g.goOnRouting(limit)
		return
	}
	var routed []netip.Prefix
	for ; p.next < len(g.cfg.Addresses); p.next++ {
		now := e.clock.Now()
		if p.next-first >= limit.addresses || now.Sub(started) > limit.time {
			break
		}
		vip := g.cfg.Addresses[p.next]
		was, has := g.onHost.addresses[vip.Addr()]
		there := has && was.at > 0 && now.Sub(was.at) < renewEvery
		if !there {
			var err error
			there, err = g.putVIP(vip)
			p.errs = append(p.errs, err)
		}
		if _, has := g.onHost.routes[vip.Addr()]; there && !has && g.needsRoute(vip) {
			routed = append(routed, vip)
		}
	}
	p.errs = append(p.errs, g.putRoutes(routed))
	if p.next == len(g.cfg.Addresses) {
		g.donePlacing()
	}
}

// goOnRouting adds local routes, in place of addresses, until all are there or the budget is spent.
func (g *group) goOnRouting(limit budget) {
	p := &g.onHost.placing
	for n := 0; n < limit.addresses; n += localPart {
		done, err := g.addLocal()
		p.errs = append(p.errs, err)
		if !done {
			continue
		}
		var routed []netip.Prefix
		for _, vip := range g.cfg.Addresses {
			if g.needsRoute(vip) {
				routed = append(routed, vip)
			}
		}
		p.errs = append(p.errs, g.putRoutes(routed))
		g.watchRoutes()
		g.donePlacing()
		return
	}
}

// donePlacing ends a pass over the group's addresses.
func (g *group) donePlacing() {
	err := errors.Join(g.onHost.placing.errs...)
	g.onHost.placing = placing{}
	g.noteHostFault(err)
	if err == nil {
		g.shed()
	}
}

// putVIP puts an address on the host or renews it there. It does neither if the address is the host's own.
func (g *group) putVIP(vip netip.Prefix) (done bool, err error) {
	e, link, addr := g.env, g.iface.link, vip.Addr()
	_, has := g.onHost.addresses[addr]
	if e.addresses.InWay(link.Index, addr) || !has && g.fault == election.ReasonOwnAddress {
		return false, nil // the group is on its way to INIT
	}
	if err := e.host.SetVIP(link.Index, addr, netio.Label(link.Name, g.cfg.VHID), !has); err != nil {
		return false, err
	}
	now := e.clock.Now()
	put(&g.onHost.addresses, addr, placed{vip, now})
	e.groups.renewals.add(renewal{g, addr}, now)
	return true, nil
}

// needsRoute reports whether the address is in a prefix that is not on link.
func (g *group) needsRoute(vip netip.Prefix) bool {
	return !vip.IsSingleIP() && !netio.OnLink(vip, g.iface.own)
}

// keepVIPs is called with each renewal of the lease. While all is in place there is nothing to do: the addresses have
// lifetimes of their own.
func (g *group) keepVIPs() {
	if on := &g.onHost; !on.placing.active && (on.fault != "" || on.lapsed) {
		g.putVIPs()
	}
}

// renewal is an address that is to be renewed.
type renewal struct {
	g    *group
	addr netip.Addr
}

// renew renews the address, if the group still has it since then.
func (r renewal) renew(since, now election.Instant) {
	g := r.g
	was, has := g.onHost.addresses[r.addr]
	if !has || was.at != since || g.iface == nil || !g.iface.opened || g.cfg.ByRoutes() {
		return
	}
	if !g.owns(now) {
		g.onHost.lapsed = true
		return
	}
	if _, err := g.putVIP(was.Prefix); err != nil {
		g.noteHostFault(err) // and tried again with the next advert
		put(&g.onHost.addresses, r.addr, placed{Prefix: was.Prefix})
	}
}

// owns reports whether the group is MASTER with a lease.
func (g *group) owns(now election.Instant) bool {
	v := g.machine.View()
	return v.State == election.Master && !v.Expired && now < v.Lease
}

// keepHost does a bounded part of what is due on the host: addresses of a claim that are still to be added, addresses
// to be renewed, and routes to be looked at.
func (s *groupSet) keepHost(now election.Instant) {
	if len(s.placing) > 0 {
		g := s.placing[0]
		s.placing, g.onHost.waits = s.placing[1:], false
		switch {
		case g.onHost.placing.active:
			g.goOnPlacing(turnBudget)
		case g.sheds():
			g.goOnShedding(turnBudget)
		}
		if g.onHost.placing.active || g.sheds() {
			s.wait(g)
		}
		g.goOnAnnouncing(announceTurn)
	}
	for _, r := range s.renewals.turn(now) {
		r.what.renew(r.added, now)
	}
	for _, r := range s.routed.turn(now) {
		r.what.keepRoutes(now)
	}
}

// wait puts a group on the list of those that have something left to do: addresses to add to the host, to remove from
// it, or to announce.
func (s *groupSet) wait(g *group) {
	if !g.onHost.waits {
		g.onHost.waits = true
		s.placing = append(s.placing, g)
	}
}

// hostDue returns when keepHost has something to do, 0 if never.
func (s *groupSet) hostDue(now election.Instant) election.Instant {
	if len(s.placing) > 0 {
		return now
	}
	renewals, routes := s.renewals.next(), s.routed.next()
	if renewals == 0 || routes > 0 && routes < renewals {
		return routes
	}
	return renewals
}

// noteHostFault logs a failure of the host's configuration once, not with every advert, and its end.
func (g *group) noteHostFault(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != g.onHost.fault {
		if err != nil {
			g.env.log.Error("addresses not complete, trying again with each advert", "group", g.name, "err", err)
		} else {
			g.env.log.Info("addresses complete", "group", g.name)
		}
	}
	g.onHost.fault = text
}

// takeVIPs removes the group's addresses, routes and virtual MAC from the host.
func (g *group) takeVIPs() {
	g.onHost.placing, g.onHost.lapsed = placing{}, false
	if g.iface == nil || len(g.onHost.addresses) == 0 && len(g.onHost.local.there) == 0 {
		return
	}
	e, ifindex := g.env, g.iface.link.Index
	errs := []error{e.host.DelMAC(ifindex, wire.VirtualMAC(g.cfg.VHID))}
	had := g.onHost.addresses
	g.onHost.addresses = nil
	for addr := range g.onHost.routes {
		errs = append(errs, g.dropRoute(addr))
	}
	for addr := range had {
		errs = append(errs, e.delVIP(ifindex, addr))
	}
	g.takeLocal()
	if err := errors.Join(errs...); err != nil {
		// The kernel removes them at the end of their lifetime.
		e.log.Error("addresses not removed", "group", g.name, "err", err)
	}
	g.onHost.fault = ""
}

// dropVIPs removes addresses that a reload took out of a MASTER's list. The others of the list stay.
func (g *group) dropVIPs(gone, kept []netip.Addr) {
	errs := []error{g.dropLocal(gone, kept)}
	for _, addr := range gone {
		_, has := g.onHost.addresses[addr]
		delete(g.onHost.addresses, addr)
		errs = append(errs, g.dropRoute(addr))
		if has {
			errs = append(errs, g.env.delVIP(g.iface.link.Index, addr))
		}
	}
	if err := errors.Join(errs...); err != nil {
		g.env.log.Error("addresses not removed", "group", g.name, "err", err)
	}
}

const (
	// restorePause is the least time between two restorations of one group: a program that removes the addresses in a
	// loop does not take the agent's time.
	restorePause = 200 * time.Millisecond
	// restoreTold is how often the log reports them while they go on.
	restoreTold = time.Minute
)

// restores is when addresses were put back that another program removed from an owner.
type restores struct {
	next    election.Instant // not before
	told    election.Instant // when the log last reported
	since   uint64           // count at that time
	missing bool             // addresses are still to be restored at next
}

// restoreVIPs puts addresses back that are gone from an owner's host. XDP goes on answering for them, but the host's
// own stack no longer accepts their packets.
func (g *group) restoreVIPs() {
	e, r := g.env, &g.onHost.restores
	now := e.clock.Now()
	gone := g.goneVIPs(now)
	r.missing = len(gone) > 0
	if !r.missing || now < r.next {
		return
	}
	r.missing, r.next = false, now.Add(restorePause)
	for _, addr := range gone {
		delete(g.onHost.addresses, addr) // to be added again, and not renewed
	}
	g.putVIPs()
	restored := len(gone)
	for _, addr := range gone {
		if _, ok := g.onHost.addresses[addr]; !ok && !g.onHost.placing.active {
			restored-- // onHost.fault is the reason
		}
	}
	g.shown.CountRestored(restored, now)
	if r.told == 0 || now.Sub(r.told) >= restoreTold {
		n, _ := g.shown.Live().Restored()
		e.log.Warn("another process removed virtual addresses from this host while it is MASTER; vipd has put them back. "+
			"`ip monitor address` shows when, auditd which process; keep network managers from addresses with this label",
			"group", g.name, "label", g.iface.link.Name+":carp...", "addresses", gone, "restored", n-r.since)
		r.told, r.since = now, n
	}
	g.publish()
}

// goneVIPs returns the addresses that the group had put on the host and that are not there.
func (g *group) goneVIPs(now election.Instant) []netip.Addr {
	if !g.owns(now) || g.entry.plane == nil || g.fault != 0 || !g.iface.opened || g.cfg.ByRoutes() {
		return nil
	}
	table, ifindex := g.env.addresses, g.iface.link.Index
	var gone []netip.Addr
	for addr, on := range g.onHost.addresses {
		expired := now.Sub(on.at) >= netio.VIPLife // it is renewed by keepHost
		if !expired && !table.Has(ifindex, addr) && !table.InWay(ifindex, addr) {
			gone = append(gone, addr)
		}
	}
	slices.SortFunc(gone, netip.Addr.Compare)
	return gone
}

// lackVIPs reports whether owners lack addresses that are to be put back now. If so, restore is to follow; if not, it
// notes when to look again.
func (s *groupSet) lackVIPs(now election.Instant) bool {
	s.restoreAt = 0
	for _, g := range s.order {
		r := &g.onHost.restores
		r.missing = len(g.goneVIPs(now)) > 0
		switch {
		case !r.missing:
		case now >= r.next:
			return true
		case s.restoreAt == 0 || r.next < s.restoreAt:
			s.restoreAt = r.next
		}
	}
	return false
}

// restore puts back what other processes removed from the host, and notes when to look again.
func (s *groupSet) restore() {
	s.restoreAt = 0
	for _, g := range s.order {
		g.restoreVIPs()
		if r := &g.onHost.restores; r.missing && (s.restoreAt == 0 || r.next < s.restoreAt) {
			s.restoreAt = r.next
		}
	}
}
