// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"net/netip"

	"vipd/agent/config"
	"vipd/agent/peers"
	"vipd/agent/state/proven"
	"vipd/loader"
)

// Which sources have proven themselves to be vipd nodes is known to the kernel, and on disk for the next start
// (agent/state/proven). Here it is known so that the disk hears of a new one.

// restorePeers gives a group that is new in the data plane the peers of earlier times.
func (g *group) restorePeers() {
	g.hearing.met = nil
	full := false
	for _, p := range g.env.peers.Of(g.cfg.Interface, g.cfg.VHID) {
		err := g.entry.plane.PutPeer(loader.Peer{Addr: p.Address, Number: p.Number, At: max(p.At, 0)})
		if errors.Is(err, loader.ErrNoRoom) {
			full = true
			continue
		}
		if err != nil {
			g.env.log.Error("a vipd node heard earlier is not known; its adverts are believed without a trailer until it is "+
				"heard again", "group", g.name, "source", p.Address.String(), "err", err)
			continue
		}
		put(&g.hearing.met, p.Address, true)
	}
	if full {
		g.lookForRoom()
	}
}

// lookForRoom asks the kernel whether it had room for all vipd nodes that have proven themselves.
func (g *group) lookForRoom() {
	seen, err := g.entry.plane.Seen()
	if err != nil {
		g.env.log.Error("cannot read what the kernel saw last", "group", g.name, "err", err)
		return
	}
	g.noteRoom(seen.NoRoomAt)
}

// noteRoom logs that the kernel has no room for a vipd node, or has again.
func (g *group) noteRoom(missedAt int64) {
	full := peers.NoRoom(missedAt, g.env.clock.Now(), g.env.cfg.Carp.PeerMemory)
	if full == g.hearing.noRoom {
		return
	}
	g.hearing.noRoom = full
	if full {
		g.env.log.Warn("a vipd node has proven itself, and the kernel has no room to remember it; until peer_memory has "+
			"passed, advertisements without a trailer from sources that are not known are refused as bad_trailer. "+
			"`vipctl peer forget` makes room", "group", g.name)
		return
	}
	g.env.log.Info("every vipd node that has proven itself is remembered again", "group", g.name)
}

// meet notes a source that has proven itself. Several nodes may send from no address.
func (g *group) meet(src netip.Addr) {
	if src.IsUnspecified() || g.hearing.met[src] {
		return
	}
	put(&g.hearing.met, src, true)
	if g.entry.plane != nil {
		g.lookForRoom()
	}
	g.env.peers.Met()
	g.env.log.Debug("a vipd node has proven itself", "group", g.name, "source", src.String())
}

// ExpirePeers has the kernel forget peers that it has not heard since.
func (c Commands) ExpirePeers(silent []proven.Peer) error {
	var errs []error
	for _, p := range silent {
		g := c.l.groups.byName[config.GroupName(p.Interface, p.VHID)]
		if g == nil || g.entry.plane == nil {
			continue
		}
		gone, err := g.entry.plane.ExpirePeer(p.Address, max(p.At, 0))
		errs = append(errs, err)
		if gone {
			delete(g.hearing.met, p.Address)
			c.l.log.Info("a vipd node that was not heard for peer_memory is forgotten", "group", g.name,
				"source", p.Address.String())
		}
	}
	return errors.Join(errs...)
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
		g.greeting.book.Forget(addr)
		g.publish()
		if g.entry.plane != nil {
			known, err := g.entry.plane.ForgetPeer(addr)
			errs = append(errs, err)
			if err == nil && !known { // it may be the one for which there was no room
				errs = append(errs, g.entry.plane.ForgetNoRoom(int64(c.l.clock.Now())))
			}
			g.lookForRoom()
		}
	}
	c.l.log.Info("peer forgotten by the operator", "source", addr.String(), "groups", groups)
	return errors.Join(errs...)
}
