// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"net/netip"

	"vipd/loader"
)

// Which sources have proven themselves to be vipd nodes is known to the kernel, and on disk for the next start
// (agent/state/proven). Here it is known so that the disk hears of a new one.

// restorePeers gives a group that is new in the data plane the peers of earlier times.
func (g *group) restorePeers() {
	g.hearing.met = map[netip.Addr]bool{}
	for _, p := range g.env.peers.Of(g.cfg.Interface, g.cfg.VHID) {
		err := g.entry.plane.PutPeer(loader.Peer{Addr: p.Address, Number: p.Number, At: p.At})
		if err != nil {
			g.env.log.Error("a vipd node heard earlier is not known; its adverts are believed without a trailer until it is "+
				"heard again", "group", g.name, "source", p.Address.String(), "err", err)
			continue
		}
		g.hearing.met[p.Address] = true
	}
}

// meet notes a source that has proven itself. Several nodes may send from no address.
func (g *group) meet(src netip.Addr) {
	if src.IsUnspecified() || g.hearing.met[src] {
		return
	}
	if g.hearing.met == nil {
		g.hearing.met = map[netip.Addr]bool{}
	}
	g.hearing.met[src] = true
	g.env.peers.Met()
	g.env.log.Debug("a vipd node has proven itself", "group", g.name, "source", src.String())
}

// ForgetPeer has the kernel forget that a source is a vipd node, in the groups of these names.
func (c Commands) ForgetPeer(addr netip.Addr, groups []string) error {
	var errs []error
	for _, name := range groups {
		g := c.l.groups.byName[name]
		if g == nil {
			continue
		}
		delete(g.hearing.met, addr)
		if g.greeting.book.Forget(addr) {
			g.publish()
		}
		if g.entry.plane != nil {
			_, err := g.entry.plane.ForgetPeer(addr)
			errs = append(errs, err)
		}
	}
	c.l.log.Info("peer forgotten by the operator", "source", addr.String(), "groups", groups)
	return errors.Join(errs...)
}
