// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"net/netip"
)

// A connected route of ours serves every address on the interface in its prefix. It is on
// the list of one of them, or of several, and passes on as long as there are any.

// dropRoute takes the route of an address that is off the host away, unless another one
// needs it. That it has none is no error.
func (a *Agent) dropRoute(g *group, addr netip.Addr) error {
	p, has := g.routes[addr]
	if !has {
		return nil
	}
	delete(g.routes, addr)
	if a.inheritRoute(g.port.link.Index, p.Masked()) {
		return nil
	}
	return a.host.DelConnectedRoute(g.port.link.Index, p)
}

// inheritRoute puts a route on the list of an address in its prefix that is on the host,
// and reports whether there is one.
func (a *Agent) inheritRoute(ifindex int, route netip.Prefix) bool {
	for _, g := range a.order {
		if g.port.link.Index != ifindex {
			continue
		}
		for addr, p := range g.onHost {
			if p.Masked() == route && !p.IsSingleIP() {
				g.routes[addr] = p
				return true
			}
		}
	}
	return false
}

// putRoutes makes sure of the routes to addresses whose prefixes are not on link. One
// that somebody else has deleted comes back with the renewal, as an address does; of who
// deletes it again and again the log tells once.
func (a *Agent) putRoutes(g *group, addresses []netip.Prefix) error {
	var errs []error
	there := map[netip.Prefix]bool{} // false: it could not be added
	var deleted []netip.Prefix
	for _, p := range addresses {
		route := p.Masked()
		ok, tried := there[route]
		if !tried {
			added, err := a.host.AddConnectedRoute(g.port.link.Index, p)
			ok = err == nil
			there[route] = ok
			errs = append(errs, err)
			if _, has := g.routes[p.Addr()]; added && has {
				deleted = append(deleted, route)
			}
		}
		if ok {
			g.routes[p.Addr()] = p
		}
	}
	if len(deleted) > 0 && !g.rerouted {
		a.log.Warn("somebody deleted routes of ours: added again; see `ip monitor route` for who it may be, and keep it from routes of protocol 112",
			"group", g.name, "routes", deleted)
	}
	g.rerouted = len(deleted) > 0
	return errors.Join(errs...)
}
