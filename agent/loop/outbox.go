// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"fmt"
	"net/netip"

	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/agent/reach"
	"vipd/agent/wire"
	"vipd/loader"
)

const (
	// batchSize is how many frames leave by one call. A larger batch saves little more, and its first advert waits for
	// the last one to be made.
	batchSize = 64
	// maxInFlight is how many adverts of one group may be on their way: the data plane recognises as many of ours when
	// they loop back (loader.Group.RecordSent).
	maxInFlight = 8
	// maxClaims is how many groups claim together. Each waits for what the kernel needs for the addresses of all.
	maxClaims = 16
)

// outbox holds what several groups send by one call. Their machines hear how their adverts went before they hear of
// anything else.
type outbox struct {
	open    bool     // adverts and claims may wait for those of other groups
	claims  []*group // whose addresses come first
	behind  bool     // a claim of this round was late: others come before what is left to do for those that were sent
	frames  []netio.Frame
	to      []addressee // of the frames
	hellos  []byte      // among the frames; adverts have letters
	waiting []*group    // for their outcome
}

// addressee is whose frame one is, and to which address it goes, or whose address it announces.
type addressee struct {
	g      *group
	addr   netip.Addr
	what   message
	number uint64 // of an advert
}

// message is what a frame is. A machine waits for the outcome of adverts only.
type message uint8

const (
	messageAdvert message = iota
	messageHello
	messageAnnouncement
)

// outgoing is an advert between its first frame and the moment when the machine hears how it went.
type outgoing struct {
	waits bool
	act   election.SendAdvert
	t0    election.Instant
	sent  int // frames
	errs  []error
}

// letter is the frame of a group's adverts to one target, of which only the advert itself changes.
type letter struct {
	to    reach.Target
	dscp  uint8
	frame []byte
}

// together has groups step, and lets their adverts leave together.
func (e *env) together(step func()) {
	was := e.outbox.open
	e.outbox.open = true
	step()
	e.outbox.open = was
	e.flush()
}

// claim has a group wait until its addresses are on the host, and then go on with its advert, together with others that
// claim. A regular advert waits for none of them: see advertise.
func (e *env) claim(g *group) {
	o := &e.outbox
	if due := &g.appointment; due.no > 0 && e.clock.Now().Sub(due.at) > claimBudget.time {
		o.behind = true
	}
	g.beginPlacing()
	g.speaking.out.waits = true
	if o.claims = append(o.claims, g); !o.open || len(o.claims) >= maxClaims {
		e.flush()
	}
}

// beginClaims puts the addresses of all claims on the host and their adverts into the outbox.
func (e *env) beginClaims() {
	o := &e.outbox
	groups := o.claims
	if o.claims = nil; len(groups) == 0 {
		return
	}
	was, limit := o.open, claimBudget
	if o.open = true; o.behind {
		limit.addresses = 0
	}
	e.place(limit, groups...)
	for _, g := range groups {
		g.speaking.out.waits = false
		g.proceed()
	}
	o.open = was
}

// flush sends what waits, and has each group go on with what comes after its advert.
func (e *env) flush() {
	e.beginClaims()
	e.post()
	o := &e.outbox
	groups := o.waiting
	o.waiting = nil // a machine may want to advertise again
	for _, g := range groups {
		g.hearOutcome()
	}
	if o.waiting == nil {
		clear(groups)
		o.waiting = groups[:0]
	}
	e.post() // announcements
}

// post sends the frames that wait.
func (e *env) post() {
	o := &e.outbox
	if len(o.frames) == 0 {
		return
	}
	e.sendAll(o.frames)
	for i := range o.frames {
		to, err := &o.to[i], o.frames[i].Err
		switch {
		case to.what == messageHello:
			e.noteHelloSent(to, err)
		case to.what == messageAnnouncement:
			if err != nil {
				e.log.Warn("announcement not sent", "group", to.g.name, "address", to.addr, "err", err)
			}
		case err != nil:
			out := &to.g.speaking.out
			out.errs = append(out.errs, fmt.Errorf("advert to %s: %w", to.addr, err))
		default:
			to.g.speaking.out.sent++
			to.g.entry.plane.ConfirmSent(to.number)
			to.g.shown.CountSent()
		}
	}
	clear(o.frames)
	clear(o.to)
	o.frames, o.to, o.hellos = o.frames[:0], o.to[:0], o.hellos[:0]
}

// put puts a frame into the outbox.
func (o *outbox) put(to addressee, ifindex int, frame []byte) {
	o.frames = append(o.frames, netio.Frame{IfIndex: ifindex, Data: frame})
	o.to = append(o.to, to)
}

// send puts one advert per family and peer into the outbox. Where they go is known before the first of them is sent
// (I8). What nothing else is due with leaves at once.
func (g *group) send(act election.SendAdvert) {
	o, out := &g.env.outbox, &g.speaking.out
	// Before the first send: the lease must not outlive what peers heard.
	*out = outgoing{waits: true, act: act, t0: g.env.clock.Now(), errs: out.errs[:0]}
	o.waiting = append(o.waiting, g)
	for i, t := range g.speaking.reach.plan.Targets {
		if i > 0 && i%maxInFlight == 0 {
			g.env.post()
		}
		if err := g.write(i, t, &act); err != nil {
			out.errs = append(out.errs, fmt.Errorf("advert to %s: %w", t.Dst, err))
		}
	}
	if !o.open || len(o.frames) >= batchSize {
		g.env.flush()
	}
}

// write puts the advert to one target into the outbox.
func (g *group) write(i int, t reach.Target, act *election.SendAdvert) error {
	l, err := g.letterTo(i, t)
	if err != nil {
		return err
	}
	advert, trailer := g.advert(act, t.Src)
	if l.frame, err = advert.AppendBinary(l.frame[:len(l.frame)-wire.AdvertSize-wire.TrailerSize]); err != nil {
		return err
	}
	if l.frame, err = trailer.AppendBinary(l.frame); err != nil {
		return err
	}
	// Recorded before it leaves: the loop check must know it when it comes back.
	g.entry.plane.RecordSent(advert.Counter, advert.Digest, loader.Priority(act.Priority))
	to := addressee{g: g, addr: t.Dst, number: advert.Counter}
	g.env.outbox.put(to, g.iface.link.Index, l.frame)
	return nil
}

// letterTo returns the frame for a target of the plan, by its place there.
func (g *group) letterTo(i int, t reach.Target) (*letter, error) {
	s := &g.speaking
	for len(s.letters) <= i {
		s.letters = append(s.letters, letter{})
	}
	l, dscp := &s.letters[i], g.env.cfg.Carp.DSCP
	if l.to == t && l.dscp == dscp {
		return l, nil
	}
	frame, err := wire.AdvertFrame{
		SrcMAC: wire.VirtualMAC(g.cfg.VHID), DstMAC: t.MAC, // in every mode, so that switches learn it
		Src: t.Src, Dst: t.Dst, DSCP: dscp, TTL: 255,
		Trailer: &wire.Trailer{}, // room for it
	}.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	*l = letter{to: t, dscp: dscp, frame: frame}
	return l, nil
}

// hearOutcome tells the machine how its advert went. All of it has to get out: a peer that hears only the other family
// must not outwait the lease.
func (g *group) hearOutcome() {
	s, out := &g.speaking, &g.speaking.out
	out.waits = false
	err := errors.Join(out.errs...)
	partial := err != nil && out.sent > 0
	if err != nil {
		g.shown.CountFailed()
		s.refused = err.Error()
		g.env.log.Warn("advert not sent", "group", g.name, "frames_sent", out.sent, "err", err)
	}
	s.sends.Sent(g.env.clock.Now(), out.act, err == nil, partial)
	g.settleSends()
	g.feed(election.Sent{T0: out.t0, Goodbye: out.act.Goodbye, OK: err == nil, Partial: partial})
	if r := &s.reach; r.plan.Reach() != r.static || g.impaired() != r.told.Impaired {
		g.env.stale.reach = true
	}
	g.proceed()
}
