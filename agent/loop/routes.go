// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"net/netip"
	"time"

	"vipd/agent/election"
)

// A connected route of ours serves every address on the interface in its prefix. It is on the list of one of them, or
// of several, and passes on as long as there are any.

// lookAtRoutes is how often the kernel is asked whether the routes are there. It removes routes without an event.
const lookAtRoutes = 2 * time.Second

// addRoute notes a route of ours that is there.
func (g *group) addRoute(p netip.Prefix) {
	g.watchRoutes()
	put(&g.onHost.routes, p.Addr(), p)
}

// watchRoutes has the kernel asked for the group's routes from time to time.
func (g *group) watchRoutes() {
	if !g.onHost.looksAt {
		g.onHost.looksAt = true
		g.env.groups.routed.add(g, g.env.clock.Now())
	}
}

// keepRoutes looks at the routes of a group, and comes round.
func (g *group) keepRoutes(now election.Instant) {
	if len(g.onHost.routes) == 0 && len(g.onHost.local.there) == 0 || g.iface == nil || !g.iface.opened {
		g.onHost.looksAt = false
		return
	}
	g.env.groups.routed.add(g, now)
	g.checkRoutes(now)
	g.checkLocal(now)
}

// checkRoutes adds what is missing of an owner's routes.
func (g *group) checkRoutes(now election.Instant) {
	if !g.owns(now) {
		return
	}
	var wanted []netip.Prefix
	for _, vip := range g.onHostNow() {
		if g.needsRoute(vip) {
			wanted = append(wanted, vip)
		}
	}
	if err := g.putRoutes(wanted); err != nil {
		g.noteHostFault(err)
	}
}

// dropRoute removes the route of an address that is off the host, unless another address needs it. It is not an error
// if it has none.
func (g *group) dropRoute(addr netip.Addr) error {
	p, has := g.onHost.routes[addr]
	if !has {
		return nil
	}
	delete(g.onHost.routes, addr)
	link := g.iface.link
	if g.env.groups.inheritRoute(link.Index, p.Masked()) {
		return nil
	}
	return g.env.host.DelConnectedRoute(link.Index, link.Table, p)
}

// putRoutes makes sure of the routes to addresses whose prefixes are not on link. One that another program has deleted
// comes back with the next look; the log reports once that it is deleted again and again.
func (g *group) putRoutes(addresses []netip.Prefix) error {
	link, routes := g.iface.link, g.onHost.routes
	var errs []error
	there := map[netip.Prefix]bool{} // false: it could not be added
	var deleted []netip.Prefix
	for _, p := range addresses {
		route := p.Masked()
		ok, tried := there[route]
		if !tried {
			added, err := g.env.host.AddConnectedRoute(link.Index, link.Table, p)
			ok = err == nil
			there[route] = ok
			errs = append(errs, err)
			if _, has := routes[p.Addr()]; added && has {
				deleted = append(deleted, route)
			}
		}
		if ok {
			g.addRoute(p)
		} else {
			delete(routes, p.Addr())
		}
	}
	if len(deleted) > 0 && !g.onHost.rerouted {
		g.env.log.Warn("another program deleted routes of vipd; added again. `ip monitor route` shows when; "+
			"keep that program from routes of protocol 112", "group", g.name, "routes", deleted)
	}
	g.onHost.rerouted = len(deleted) > 0
	return errors.Join(errs...)
}

// moveRoutes moves the group's routes to the table that its interface has now, from the one that it had: a VRF took the
// interface in, or let it go.
func (g *group) moveRoutes(from int) {
	routes := g.onHost.routes
	if len(g.onHost.local.there) > 0 {
		g.takeLocal() // from where they are
		g.settleLocal()
		if g.machine.State() == election.Master {
			g.putVIPs()
		}
	}
	var errs []error
	var again []netip.Prefix
	for _, route := range routes {
		errs = append(errs, g.env.host.DelConnectedRoute(g.iface.link.Index, from, route))
		again = append(again, route)
	}
	clear(routes)
	if g.machine.State() == election.Master {
		errs = append(errs, g.putRoutes(again))
	}
	if err := errors.Join(errs...); err != nil {
		g.env.log.Error("routes not moved to the table of the interface, trying again with each advert",
			"group", g.name, "err", err)
	}
}
