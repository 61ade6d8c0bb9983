// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/reach"
	"vipd/agent/wire"
	"vipd/loader"
)

// speaking is how well the group's adverts get out.
type speaking struct {
	reach   reachability
	sends   election.SendErrors
	demoted bool   // the ledger has the send errors
	refused string // why an advert was not sent, last
}

// send sends one advert per family and peer. Where they go is known before the first of them is sent (I8). All have to
// get out: a peer that hears only the other family must not outwait the lease.
func (g *group) send(act election.SendAdvert) election.Sent {
	t0 := g.env.clock.Now() // before the first send: the lease must not outlive what peers heard
	sent := 0
	var errs []error
	for _, t := range g.speaking.reach.plan.Targets {
		if err := g.sendFrame(act.Priority, t); err != nil {
			errs = append(errs, err)
			continue
		}
		sent++
	}
	err := errors.Join(errs...)
	partial := err != nil && sent > 0
	if err != nil {
		g.shown.CountFailed()
		g.speaking.refused = err.Error()
		g.env.log.Warn("advert not sent", "group", g.name, "frames_sent", sent, "err", err)
	}
	g.speaking.sends.Sent(g.env.clock.Now(), act, err == nil, partial)
	g.settleSends()
	return election.Sent{T0: t0, Goodbye: act.Goodbye, OK: err == nil, Partial: partial}
}

// unsendable returns why nothing of an advert is to be sent: a claim on the group of a living owner has to reach
// everybody, that owner first.
func (g *group) unsendable(act election.SendAdvert) error {
	v, plan := g.machine.View(), &g.speaking.reach.plan
	switch {
	case plan.Reach().Mute || act.Whole && plan.Reach().Impaired:
		return plan.Err()
	case act.Whole && v.Heard && slices.Contains(plan.Absent, v.Master.Src):
		return fmt.Errorf("the link-layer address of %s, which owns, is not known yet", v.Master.Src)
	default:
		return nil
	}
}

func (g *group) sendFrame(p election.Priority, t reach.Target) error {
	sign := &g.signing
	counter := sign.sealedCounter(g.env.sequence, p, t.Src, g.hearing.counter)
	digest := sign.key.Digest(sign.prefix, counter)
	frame, err := wire.AdvertFrame{
		SrcMAC: wire.VirtualMAC(g.cfg.VHID), DstMAC: t.MAC, // in every mode, so that switches learn it
		Src: t.Src, Dst: t.Dst, DSCP: g.env.cfg.Carp.DSCP, TTL: 255,
		Advert: wire.Advert{
			VHID: g.cfg.VHID, AdvBase: p.AdvBase, AdvSkew: p.AdvSkew, Demote: p.Demote,
			AuthLen: wire.AuthLen, Counter: counter, Digest: digest,
		},
	}.AppendBinary(nil)
	if err != nil {
		return err
	}
	// Recorded before it leaves: the loop check must know it when it comes back.
	g.entry.plane.RecordSent(counter, digest, loader.Priority(p))
	if err := g.iface.sender.Send(frame); err != nil {
		return fmt.Errorf("advert to %s: %w", t.Dst, err)
	}
	g.shown.CountSent()
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

// announce tells the segment where the virtual MAC lives now.
func (g *group) announce() {
	for _, p := range g.cfg.Addresses {
		g.announceAddress(p.Addr())
	}
}

func (g *group) announceAddress(addr netip.Addr) {
	if g.iface == nil || g.iface.sender == nil {
		return
	}
	frame := wire.GratuitousARP(g.cfg.VHID, addr)
	if addr.Is6() {
		frame = wire.UnsolicitedNA(g.cfg.VHID, addr, g.iface.forwards)
	}
	if err := g.iface.sender.Send(frame); err != nil {
		g.env.log.Warn("announcement not sent", "group", g.name, "address", addr, "err", err)
	}
}
