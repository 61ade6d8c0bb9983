// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"fmt"
	"net/netip"
	"slices"

	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/wire"
)

// speaking is how well the group's adverts get out.
type speaking struct {
	reach   reachability
	letters []letter // one per target
	out     outgoing
	sends   election.SendErrors
	demoted bool   // the ledger has the send errors
	refused string // why an advert was not sent, last

	announcing announcing
}

// unsendable returns why nothing of an advert is to be sent: a claim on the group of a living owner has to reach
// everybody, that owner first.
func (g *group) unsendable(act election.SendAdvert) error {
	plan := &g.speaking.reach.plan
	if plan.Reach().Mute || act.Whole && plan.Reach().Impaired {
		return plan.Err()
	}
	if !act.Whole || len(plan.Absent) == 0 {
		return nil
	}
	if v := g.machine.View(); v.Heard && slices.Contains(plan.Absent, v.Master.Src) {
		return fmt.Errorf("the link-layer address of %s, which owns, is not known yet", v.Master.Src)
	}
	return nil
}

// settleSends keeps the ledger's share of a group whose adverts cannot be sent. The machines hear of it after the
// present step.
func (g *group) settleSends() {
	s, ledger := &g.speaking, &g.env.ledger
	demoted := s.sends.Demoted()
	if demoted == s.demoted {
		return
	}
	s.demoted = demoted
	name, changed := api.DemotionSendErrPrefix+g.name, false
	if demoted {
		reason := "adverts could not be sent: " + s.refused
		changed = ledger.set(name, g.env.cfg.Carp.SenderrDemotion, reason, g.env.clock.TimeOfDay())
	} else {
		changed = ledger.remove(name)
	}
	g.env.stale.ledger = changed || g.env.stale.ledger
}

// forgiveSends forgets the failed sends: the operator took their demotion off.
func (g *group) forgiveSends() {
	g.speaking.sends, g.speaking.demoted = election.SendErrors{}, false
}

// announcing is how far the announcements of a group are.
type announcing struct {
	next, left int // in the list of addresses
}

const (
	// announceFirst is how many addresses are announced at once, announceTurn how many in each later round: other groups
	// wait for their adverts.
	announceFirst = 256
	announceTurn  = 128
)

// announce tells the segment where the virtual MAC lives now, for each address. What exceeds announceFirst comes with
// later rounds of the loop.
func (g *group) announce() {
	a := &g.speaking.announcing
	if a.left == 0 {
		a.next = 0
	}
	a.left = len(g.cfg.Addresses)
	if g.env.outbox.behind {
		g.goOnAnnouncing(0)
	} else {
		g.goOnAnnouncing(announceFirst)
	}
}

// goOnAnnouncing announces a part of what is left, and returns how many addresses that was.
func (g *group) goOnAnnouncing(most int) (n int) {
	a := &g.speaking.announcing
	if g.machine.State() != election.Master {
		a.left = 0
	}
	for ; a.left > 0 && n < most; n++ {
		a.next %= len(g.cfg.Addresses) // a reload may have shortened the list
		g.announceAddress(g.cfg.Addresses[a.next].Addr())
		a.next++
		a.left--
	}
	if a.left > 0 {
		g.env.groups.wait(g)
	}
	return n
}

// announceAddress puts an announcement into the outbox, which is emptied before the round ends.
func (g *group) announceAddress(addr netip.Addr) {
	if g.iface == nil || g.iface.sender == nil {
		return
	}
	var frame []byte
	if addr.Is6() {
		frame = wire.UnsolicitedNA(g.cfg.VHID, addr, g.iface.forwards)
	} else {
		frame = wire.GratuitousARP(g.cfg.VHID, addr)
	}
	o := &g.env.outbox
	o.put(addressee{g: g, addr: addr, what: messageAnnouncement}, g.iface.link.Index, frame)
	if len(o.frames) >= batchSize {
		g.env.post()
	}
}
