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
	filter    bool // the virtual MAC may be in the NIC's filter
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
	filter bool // the virtual MAC is to be added to the NIC's filter
	next   int  // in the list of addresses
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
	g.beginPlacing()
	g.env.place(claimBudget, g)
}

func (g *group) beginPlacing() {
	if g.iface == nil || !g.iface.opened {
		return
	}
	on := &g.onHost
	on.placing = placing{active: true, filter: len(on.addresses) == 0}
	on.lapsed, on.local.leaving = false, nil
}

// place goes on putting addresses of groups on the host, those of the first ones first, until all are there or the
// budget is spent. Virtual MACs have no budget: without them a NIC may drop what the data plane would answer.
func (e *env) place(limit budget, groups ...*group) {
	began := e.clock.Now()
	for done := 0; ; {
		most := min(limit.part(done, e.clock.Now().Sub(began)), limit.addresses-done)
		var out toHost
		for _, g := range groups {
			g.nextVIPs(&out, most)
		}
		if len(out.items) == 0 {
			break
		}
		out.deliver(e)
		done += out.addresses
	}
	for _, g := range groups {
		if g.donePart(limit); g.onHost.placing.active {
			e.groups.wait(g)
		}
	}
}

// firstPart is how many addresses are put on the host before it is known how long one takes.
const firstPart = 8

// part returns how many addresses fit into the rest of the time, if those before took so long.
func (b budget) part(done int, took time.Duration) int {
	switch {
	case took >= b.time:
		return 0
	case done == 0:
		return firstPart
	default:
		return max(1, int(time.Duration(done)*(b.time-took)/max(took, 1)))
	}
}

// toHost is what goes to the host by one call.
type toHost struct {
	items     []netio.Placing
	of        []hostItem
	addresses int // among the items
}

// hostItem is whose an item is, and which address, none if it is the virtual MAC.
type hostItem struct {
	g   *group
	vip netip.Prefix
}

func (t *toHost) addVIP(g *group, vip netip.Prefix) {
	_, has := g.onHost.addresses[vip.Addr()]
	link := &g.iface.link
	t.items = append(t.items, netio.Placing{
		IfIndex: link.Index, Addr: vip.Addr(), Label: netio.Label(link.Name, g.cfg.VHID), Add: !has,
	})
	t.of = append(t.of, hostItem{g, vip})
	t.addresses++
}

// deliver puts the items on the host and notes what became of them.
func (t *toHost) deliver(e *env) {
	e.host.Place(t.items)
	now := e.clock.Now()
	for i, of := range t.of {
		g, err := of.g, t.items[i].Err
		switch on := &g.onHost; {
		case err != nil && on.placing.active:
			on.placing.errs = append(on.placing.errs, err)
		case err != nil:
			g.noteHostFault(err) // and tried again with the next advert
			put(&on.addresses, of.vip.Addr(), placed{Prefix: of.vip})
		case of.vip.IsValid():
			put(&on.addresses, of.vip.Addr(), placed{of.vip, now})
			e.groups.renewals.add(renewal{g, of.vip.Addr()}, now)
		}
	}
}

// nextVIPs adds what the group puts on the host next, until there are as many addresses as that.
func (g *group) nextVIPs(out *toHost, most int) {
	p := &g.onHost.placing
	if g.iface == nil || !g.iface.opened {
		*p = placing{}
	}
	if !p.active {
		return
	}
	if p.filter {
		p.filter, g.onHost.filter = false, true
		out.items = append(out.items, netio.Placing{IfIndex: g.iface.link.Index, MAC: wire.VirtualMAC(g.cfg.VHID)})
		out.of = append(out.of, hostItem{g: g})
	}
	for now := g.env.clock.Now(); !g.cfg.ByRoutes() && p.next < len(g.cfg.Addresses) && out.addresses < most; p.next++ {
		vip := g.cfg.Addresses[p.next]
		was, has := g.onHost.addresses[vip.Addr()]
		if fresh := has && was.at > 0 && now.Sub(was.at) < renewEvery; !fresh && g.mayPut(vip) {
			out.addVIP(g, vip)
		}
	}
}

// mayPut reports whether the address is not the host's own. If it is, the group is on its way to INIT.
func (g *group) mayPut(vip netip.Prefix) bool {
	_, has := g.onHost.addresses[vip.Addr()]
	return !g.env.addresses.InWay(g.iface.link.Index, vip.Addr()) && (has || g.fault != election.ReasonOwnAddress)
}

// donePart ends a part of a pass over the group's addresses: routes follow the addresses that they serve.
func (g *group) donePart(limit budget) {
	p := &g.onHost.placing
	switch {
	case !p.active:
		return
	case g.cfg.ByRoutes():
		g.goOnRouting(limit)
		return
	}
	var routed []netip.Prefix
	for _, vip := range g.cfg.Addresses[:p.next] {
		_, there := g.onHost.addresses[vip.Addr()]
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

// renew has the address renewed with others, if the group still has it since then.
func (r renewal) renew(since, now election.Instant, out *toHost) {
	g := r.g
	was, has := g.onHost.addresses[r.addr]
	if !has || was.at != since || g.iface == nil || !g.iface.opened || g.cfg.ByRoutes() {
		return
	}
	if !g.owns(now) {
		g.onHost.lapsed = true
		return
	}
	if g.mayPut(was.Prefix) {
		out.addVIP(g, was.Prefix)
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
	s.goOn()
	if due := s.renewals.turn(now); len(due) > 0 {
		var out toHost
		for _, r := range due {
			r.what.renew(r.added, now, &out)
		}
		out.deliver(due[0].what.g.env)
	}
	for _, r := range s.routed.turn(now) {
		r.what.keepRoutes(now)
	}
}

// turnGroups is how many groups a turn is for, at most.
const turnGroups = 32

// goOn does a part of what groups wait for, the first ones first. They wait for as long as claims are late.
func (s *groupSet) goOn() {
	groups := s.placing[:min(len(s.placing), turnGroups)]
	if len(groups) == 0 || groups[0].env.outbox.behind {
		return
	}
	s.placing = s.placing[len(groups):]
	var placing []*group
	for _, g := range groups {
		if g.onHost.waits = false; g.onHost.placing.active {
			placing = append(placing, g)
		}
	}
	groups[0].env.place(turnBudget, placing...)
	shed, announce := false, announceTurn
	for _, g := range groups {
		if !shed && !g.onHost.placing.active && g.sheds() {
			g.goOnShedding(turnBudget)
			shed = true
		}
		if g.sheds() {
			s.wait(g)
		}
		announce -= g.goOnAnnouncing(announce)
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
	on := &g.onHost
	on.placing, on.lapsed = placing{}, false
	if g.iface == nil || !on.filter && len(on.addresses) == 0 && len(on.local.there) == 0 {
		return
	}
	on.filter = false
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
