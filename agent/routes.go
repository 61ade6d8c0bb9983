// SPDX-License-Identifier: Apache-2.0

package agent

import "net/netip"

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
