// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"net/netip"

	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/agent/wire"
	"vipd/loader"
)

// sendAdvert sends one advert per family and peer and tells the machine how it
// went. Before it speaks it asks the kernel whether it still may: a full ring
// cannot hide a yield (design I2).
func (a *Agent) sendAdvert(g *group, act election.SendAdvert) {
	if g.plane == nil || g.port == nil || g.port.sender == nil {
		g.queue = g.machine.Step(a.now(), election.Sent{T0: a.now(), Goodbye: act.Goodbye}, g.queue)
		return
	}
	if a.yielded(g) {
		return
	}
	for _, role := range g.machine.Step(a.now(), election.Sending{}, nil) {
		a.execute(g, role)
	}
	t0 := a.now() // before the first send: the lease must not outlive what peers heard
	err := a.sendFamilies(g, act.Priority)
	if err != nil {
		g.counts.failed.Add(1)
		a.log.Warn("advert not sent", "group", g.name, "err", err)
	}
	a.noteSend(g, err)
	g.queue = g.machine.Step(a.now(), election.Sent{T0: t0, Goodbye: act.Goodbye, OK: err == nil}, g.queue)
}

// yielded reports, and tells the machine, that XDP has taken the present
// generation's voice away; or would have, had an advert come after the new role and
// not just before it, when the batch had been read already.
func (a *Agent) yielded(g *group) bool {
	seen, err := g.plane.Seen()
	if err != nil {
		a.log.Error("kernel record not readable", "group", g.name, "err", err)
		return false
	}
	gen := g.machine.View().Generation
	if at := election.Instant(seen.At); at > g.lastHeard {
		g.queue = g.machine.Step(a.now(), g.advert(seen.Event), g.queue)
	}
	if seen.YieldedGeneration >= gen {
		g.queue = g.machine.Step(a.now(), election.Yielded{Generation: gen}, g.queue)
		return true
	}
	return g.machine.View().State != election.Master
}

// sendFamilies sends to every family of the group's addresses. All have to
// succeed: a peer that hears only the other family must not outwait the lease.
func (a *Agent) sendFamilies(g *group, p election.Priority) error {
	var errs []error
	for _, f := range families {
		if !g.has(f) {
			continue
		}
		errs = append(errs, a.sendFamily(g, p, f))
	}
	return errors.Join(errs...)
}

// sendFamily sends one advert to the group's multicast address, or one to each
// unicast peer of that family.
func (a *Agent) sendFamily(g *group, p election.Priority, f family) error {
	src, err := g.port.source(f)
	if err != nil {
		return err
	}
	peers := g.peers(f)
	switch {
	case len(peers) > 0:
	case g.cfg.Broadcast:
		return a.sendFrame(g, p, src, f.multicast, wire.Broadcast)
	default:
		return a.sendFrame(g, p, src, f.multicast, wire.MulticastMAC(f.multicast))
	}
	var errs []error
	for _, peer := range peers {
		mac, err := a.host.Neighbour(g.port.link.Index, peer)
		if errors.Is(err, netio.ErrUnresolved) {
			continue // a peer that is off is no fault of ours
		}
		if err == nil {
			err = a.sendFrame(g, p, src, peer, mac)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (a *Agent) sendFrame(g *group, p election.Priority, src, dst netip.Addr, dstMAC [6]byte) error {
	counter := a.sealedCounter(g, p, src)
	digest := g.key.Digest(g.prefix, counter)
	frame, err := wire.AdvertFrame{
		SrcMAC: wire.VirtualMAC(g.cfg.VHID), DstMAC: dstMAC, // in every mode, so that switches learn it
		Src: src, Dst: dst, DSCP: a.cfg.Carp.DSCP, TTL: 255,
		Advert: wire.Advert{
			VHID: g.cfg.VHID, AdvBase: p.AdvBase, AdvSkew: p.AdvSkew, Demote: p.Demote,
			AuthLen: wire.AuthLen, Counter: counter, Digest: digest,
		},
	}.AppendBinary(nil)
	if err != nil {
		return err
	}
	// Recorded before it leaves: the loop check must know it when it comes back.
	g.plane.RecordSent(counter, digest, loader.Priority(p))
	if err := g.port.sender.Send(frame); err != nil {
		return fmt.Errorf("advert to %s: %w", dst, err)
	}
	g.counts.sent.Add(1)
	return nil
}

// sealedCounter is the counter of the next advert from src (docs/sealed-adverts.md).
// It is never the one that a peer used last: an OpenBSD peer would take its own
// cookie for a loop.
func (a *Agent) sealedCounter(g *group, p election.Priority, src netip.Addr) uint64 {
	sealed := wire.Sealed{Src: src, AdvBase: p.AdvBase, AdvSkew: p.AdvSkew, Demote: p.Demote}
	for {
		if c := g.seal.Counter(a.sequence.draw(), sealed); c != g.heardCounter {
			return c
		}
	}
}

// announce tells the segment where the virtual MAC lives now.
func (a *Agent) announce(g *group) {
	if g.port == nil || g.port.sender == nil {
		return
	}
	for _, p := range g.cfg.Addresses {
		frame := wire.GratuitousARP(g.cfg.VHID, p.Addr())
		if p.Addr().Is6() {
			frame = wire.UnsolicitedNA(g.cfg.VHID, p.Addr(), g.port.forwards)
		}
		if err := g.port.sender.Send(frame); err != nil {
			a.log.Warn("announcement not sent", "group", g.name, "address", p.Addr(), "err", err)
		}
	}
}
