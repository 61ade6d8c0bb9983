// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"context"
	"maps"
	"net/netip"
	"slices"

	"vipd/agent/election"
)

// The host has the VIPs of a group with many of them as local routes, not as addresses: see [config.Group.ByRoutes].
// Such a route has no lifetime. Groups do not share routes: each has those of its own addresses.

// localRoutes are the local routes of a group.
type localRoutes struct {
	wanted  []netip.Prefix        // for the group's addresses; none if they are to be addresses
	there   map[netip.Prefix]bool // false: it may be there, and is to be added again
	leaving []netip.Prefix        // of there, still to be removed
	at      home                  // where they are
	lookAt  election.Instant      // when the kernel is asked for them next
	deleted bool                  // the last look found one of them deleted
}

// home is an interface with its routing table.
type home struct{ ifindex, table int }

const (
	// localPart is how many of them are changed in one go. It takes a millisecond or two.
	localPart = 128
	// localShare bounds the time that looks at them take: the next one is not before so many times as long.
	localShare = 2000
)

// planLocal finds the local routes that the group's config needs.
func (g *group) planLocal() {
	g.onHost.local.wanted = nil
	if g.cfg.ByRoutes() {
		g.onHost.local.wanted = covering(g.cfg.Addrs())
	}
}

// covering returns the fewest prefixes that have exactly these addresses, sorted.
func covering(addrs []netip.Addr) []netip.Prefix {
	addrs = slices.Clone(addrs)
	slices.SortFunc(addrs, netip.Addr.Compare)
	var out []netip.Prefix
	for _, addr := range slices.Compact(addrs) {
		out = append(out, netip.PrefixFrom(addr, addr.BitLen()))
		for n := len(out); n > 1; n = len(out) {
			low, high := out[n-2], out[n-1]
			both := netip.PrefixFrom(low.Addr(), low.Bits()-1)
			if low.Bits() != high.Bits() || low.Bits() == 0 || both.Masked().Addr() != low.Addr() ||
				!both.Contains(high.Addr()) {
				break
			}
			out = append(out[:n-2], both)
		}
	}
	return out
}

// addLocal adds a part of the local routes that are missing. It reports whether all have been tried.
func (g *group) addLocal() (done bool, err error) {
	p, l := &g.onHost.placing, &g.onHost.local
	var part []netip.Prefix
	for ; p.next < len(l.wanted) && len(part) < localPart; p.next++ {
		if route := l.wanted[p.next]; !l.there[route] {
			part = append(part, route)
		}
	}
	if len(part) > 0 {
		l.at = home{g.iface.link.Index, g.iface.link.Table}
		err = g.putLocal(part)
	}
	return p.next == len(l.wanted), err
}

// putLocal adds local routes.
func (g *group) putLocal(routes []netip.Prefix) error {
	l := &g.onHost.local
	err := g.env.host.AddLocal(l.at.ifindex, l.at.table, routes)
	for _, route := range routes {
		put(&l.there, route, err == nil)
	}
	return err
}

// shed begins to remove what a MASTER has on the host and does not need: local routes to other prefixes than now, and
// addresses, if it has local routes instead. What replaces it is there.
func (g *group) shed() {
	l := &g.onHost.local
	if len(l.there) > len(l.wanted) {
		needed := make(map[netip.Prefix]bool, len(l.wanted))
		for _, route := range l.wanted {
			needed[route] = true
		}
		for route := range l.there {
			if !needed[route] {
				l.leaving = append(l.leaving, route)
			}
		}
	}
	if g.sheds() {
		g.env.groups.wait(g)
	}
}

// sheds reports whether something of the group is to be removed from the host.
func (g *group) sheds() bool {
	return len(g.onHost.local.leaving) > 0 || g.cfg.ByRoutes() && len(g.onHost.addresses) > 0 && !g.onHost.placing.active
}

// goOnShedding removes a part of it. The budget is the least.
func (g *group) goOnShedding(limit budget) {
	e, l := g.env, &g.onHost.local
	if n := min(len(l.leaving), localPart); n > 0 {
		if err := g.delLocal(l.leaving[:n]); err != nil {
			e.log.Error("local routes not removed", "group", g.name, "err", err)
		}
		l.leaving = l.leaving[n:]
		return
	}
	for addr := range g.onHost.addresses {
		if limit.addresses--; limit.addresses < 0 || !g.sheds() {
			return
		}
		delete(g.onHost.addresses, addr)
		if err := e.delVIP(g.iface.link.Index, addr); err != nil {
			e.log.Error("addresses not removed", "group", g.name, "err", err) // they end by themselves
		}
	}
}

// delLocal removes local routes.
func (g *group) delLocal(routes []netip.Prefix) error {
	l := &g.onHost.local
	for _, route := range routes {
		delete(l.there, route)
	}
	return g.env.host.DelLocal(l.at.ifindex, l.at.table, routes)
}

// takeLocal begins to remove all local routes. The data plane fences them until the group leaves it; settleLocal comes
// before that.
func (g *group) takeLocal() {
	l := &g.onHost.local
	l.leaving = slices.Collect(maps.Keys(l.there))
	if g.goOnShedding(turnBudget); g.sheds() {
		g.env.groups.wait(g)
	}
}

// settleLocal removes the rest of them.
func (g *group) settleLocal() {
	for len(g.onHost.local.leaving) > 0 {
		g.goOnShedding(turnBudget)
	}
}

// dropLocal removes the local routes to addresses that the group loses, and puts others in place of those that have
// also addresses that it keeps.
func (g *group) dropLocal(gone, kept []netip.Addr) error {
	l := &g.onHost.local
	if len(l.there) == 0 || len(gone) == 0 {
		return nil
	}
	var lengths []int
	routeTo := func(addr netip.Addr) (netip.Prefix, bool) {
		for _, bits := range lengths {
			if p, err := addr.Prefix(bits); err == nil {
				if _, has := l.there[p]; has {
					return p, true
				}
			}
		}
		return netip.Prefix{}, false
	}
	for route := range l.there {
		if !slices.Contains(lengths, route.Bits()) {
			lengths = append(lengths, route.Bits())
		}
	}
	old := map[netip.Prefix]bool{}
	merged := false
	for _, addr := range gone {
		if route, has := routeTo(addr); has {
			old[route] = true
			merged = merged || !route.IsSingleIP()
		}
	}
	var rest []netip.Addr
	for _, addr := range kept {
		if !merged {
			break
		}
		if route, has := routeTo(addr); has && old[route] {
			rest = append(rest, addr)
		}
	}
	err := g.putLocal(covering(rest))
	l.leaving = slices.DeleteFunc(l.leaving, func(route netip.Prefix) bool { return old[route] })
	if delErr := g.delLocal(slices.Collect(maps.Keys(old))); err == nil {
		err = delErr
	}
	return err
}

// adoptLocal takes over the local routes that an earlier vipd made for the group's addresses.
func (g *group) adoptLocal(at home, there []netip.Prefix, gone, kept []netip.Addr) {
	g.onHost.local.at = at
	had := make(map[netip.Addr]bool, len(gone)+len(kept))
	for _, addr := range slices.Concat(gone, kept) {
		had[addr] = true
	}
	for _, route := range there {
		if had[route.Addr()] {
			put(&g.onHost.local.there, route, true)
		}
	}
	if err := g.dropLocal(gone, kept); err != nil {
		g.env.log.Error("local routes of an earlier config not removed", "group", g.name, "err", err)
	}
}

// checkLocal adds what another program has deleted of an owner's local routes.
func (g *group) checkLocal(now election.Instant) {
	l := &g.onHost.local
	if len(l.there) == 0 || g.onHost.placing.active || now < l.lookAt || !g.owns(now) {
		return
	}
	e := g.env
	began := e.clock.Now()
	listed, err := e.host.Local(l.at.ifindex, l.at.table)
	l.lookAt = began.Add(localShare * e.clock.Now().Sub(began))
	if err != nil {
		e.log.Debug("local routes not readable, keeping what was known", "group", g.name, "err", err)
		return
	}
	there := make(map[netip.Prefix]bool, len(listed))
	for _, route := range listed {
		there[route] = true
	}
	var missing []netip.Prefix
	for _, route := range l.wanted {
		if l.there[route] && !there[route] {
			l.there[route] = false
			missing = append(missing, route)
		}
	}
	if len(missing) > 0 {
		if !l.deleted {
			e.log.Warn("another program deleted local routes of vipd; added again. `ip monitor route` shows when; "+
				"keep that program from routes of protocol 112", "group", g.name, "routes", someRoutes(missing))
		}
		g.shown.CountRestored(len(missing), now)
		g.putVIPs()
	}
	l.deleted = len(missing) > 0
}

// someRoutes names the first ones.
func someRoutes(routes []netip.Prefix) string {
	texts := make([]string, 0, len(routes))
	for _, route := range routes {
		texts = append(texts, route.String())
	}
	return someOf(texts)
}

// onHostNow returns the group's VIPs that are on the host, in whatever way.
func (g *group) onHostNow() []netip.Prefix {
	if g.cfg.ByRoutes() && len(g.onHost.local.there) > 0 {
		return g.cfg.Addresses
	}
	out := make([]netip.Prefix, 0, len(g.onHost.addresses))
	for _, p := range g.onHost.addresses {
		out = append(out, p.Prefix)
	}
	return out
}

// listen has the host join the solicited-node groups of VIPs that are not addresses, as MASTER and as BACKUP: a
// takeover of thousands of addresses does not wait for it.
func (g *group) listen() {
	listens := g.entry.plane != nil && g.cfg.ByRoutes()
	if !listens && !g.entry.listens {
		return
	}
	g.entry.listens = listens
	var vips []netip.Addr
	for _, other := range g.env.groups.on(g.iface) {
		if other.entry.listens {
			vips = append(vips, other.cfg.Addrs()...)
		}
	}
	g.env.solicited.Want(g.iface.link.Index, vips)
}

// WatchMemberships joins and leaves them until ctx ends.
func (l *Loop) WatchMemberships(ctx context.Context) { l.solicited.Run(ctx) }
