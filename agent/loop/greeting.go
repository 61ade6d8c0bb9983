// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"vipd/agent/election"
	"vipd/agent/peers"
	"vipd/agent/view"
	"vipd/agent/wire"
)

// greeting is what a group tells other nodes about itself by hellos, and what it knows of them by theirs
// (docs/authentication.md). The machine does not know of it.
type greeting struct {
	report appointment // when the next hello to the MASTER is due
	phase  peers.Phase
	every  time.Duration    // from one to the next if nothing changes
	last   election.Instant // when the last one left; 0: none did
	// answered is when this group last answered any peer: that one may be the MASTER now, and refuses a second hello
	// within a second.
	answered election.Instant
	said     saying // what it said
	book     peers.Book
	// notListed is when a hello came last for whose sender the book had no room; 0: never.
	notListed election.Instant
}

// saying is what makes a hello due at once when it changes. The zero value has not been said to any node.
type saying struct {
	to          netip.Addr
	state       election.State
	effective   election.Priority
	demotion    int
	maintenance bool
	disabled    bool
	preempt     bool
	base, skew  uint8
}

func (g *group) saying(to netip.Addr, v *election.View) saying {
	e := g.env
	_, maintenance := e.ledger.find(demotionMaintenance)
	return saying{
		to: to, state: v.State, effective: v.Effective, demotion: e.ledger.total(), maintenance: maintenance,
		disabled: e.disabled, preempt: e.cfg.Carp.Preempt, base: g.cfg.AdvBase, skew: g.cfg.AdvSkew,
	}
}

// reportTo returns the address of the MASTER that the group reports to, and its own in that family. Without an address:
// there is none that lives and has proven itself by a trailer.
func (g *group) reportTo(v *election.View, now election.Instant) (src, dst netip.Addr) {
	if g.entry.plane == nil || g.iface == nil || g.iface.sender == nil || v.State == election.Master {
		return netip.Addr{}, netip.Addr{}
	}
	// What the kernel withheld is given to the machine at the end of its down time.
	lives := now.Add(-2*v.DownTime - view.HelloPeriod)
	for f, last := range [...]*election.LastAdvert{&v.IPv4, &v.IPv6} {
		if !last.Ever || !g.hearing.proven[f] || last.Goodbye() || last.At < lives || last.Src.IsUnspecified() {
			continue
		}
		if src, err := g.iface.source(last.Src.Is6()); err == nil && !src.IsUnspecified() {
			return src, last.Src
		}
	}
	return netip.Addr{}, netip.Addr{}
}

// hasNoAddress reports whether none of the addresses that the group advertises from can be that of a hello.
func (g *group) hasNoAddress() bool {
	if g.iface == nil || !g.iface.opened {
		return false // not known
	}
	for _, p := range g.cfg.Addresses {
		if src, err := g.iface.source(p.Addr().Is6()); err != nil || !src.IsUnspecified() {
			return false
		}
	}
	return true
}

// arrangeReport notes when the next hello to the MASTER is due.
func (g *group) arrangeReport(v *election.View, now election.Instant) {
	gr, reports := &g.greeting, &g.env.groups.reports
	_, dst := g.reportTo(v, now)
	if !dst.IsValid() {
		reports.drop(&gr.report)
		return
	}
	if changed := g.saying(dst, v) != gr.said; changed || gr.report.no == 0 {
		reports.put(&gr.report, g, g.reportDue(now, changed))
	}
}

func (g *group) reportDue(now election.Instant, changed bool) election.Instant {
	gr := &g.greeting
	return peers.Due(max(gr.last, gr.answered), now, changed, gr.phase, gr.every)
}

// reporting is how many groups of an interface report to each MASTER.
type reporting struct {
	to        map[netip.Addr]int
	countedAt election.Instant
	groups    []*group // that report, reused
}

// reportEvery returns how often each group of the interface reports to a MASTER. They are counted anew once a second.
func (p *iface) reportEvery(dst netip.Addr, now election.Instant) time.Duration {
	r := &p.reporting
	if r.to == nil {
		r.to = map[netip.Addr]int{}
	}
	if r.to[dst] == 0 || now.Sub(r.countedAt) >= time.Second {
		r.countedAt = now
		p.countReports(now)
	}
	return peers.Period(r.to[dst])
}

// countReports counts the groups that report. Where fewer do than before, each does so more often at once: so many
// hellos in a period show that the node lives.
func (p *iface) countReports(now election.Instant) {
	r := &p.reporting
	clear(r.to)
	for _, g := range p.reporters() {
		r.to[g.greeting.said.to]++
	}
	for _, g := range r.groups {
		gr := &g.greeting
		if every := peers.Period(r.to[gr.said.to]); every < gr.every {
			gr.every = every
			p.env.groups.reports.put(&gr.report, g, min(gr.report.at, g.reportDue(now, false)))
		}
	}
}

// reporters returns the groups of the interface that report to a MASTER. The slice is good until the next call.
func (p *iface) reporters() []*group {
	r := &p.reporting
	r.groups = r.groups[:0]
	for vhid := range uint8(math.MaxUint8) {
		if g := p.env.groups.at(p.link.Index, vhid+1); g != nil && g.greeting.report.no != 0 {
			r.groups = append(r.groups, g)
		}
	}
	return r.groups
}

// reportAgain makes the groups report at once that report to a MASTER, whose process was started again.
func (p *iface) reportAgain(to netip.Addr, now election.Instant) {
	for _, g := range p.reporters() {
		if gr := &g.greeting; gr.said.to == to {
			p.env.groups.reports.put(&gr.report, g, g.reportDue(now, true))
		}
	}
}

// sayHello puts a hello to the MASTER into the outbox if there is one, and notes when the next is due.
func (g *group) sayHello(n *view.Node, now election.Instant) {
	gr, reports := &g.greeting, &g.env.groups.reports
	v := g.machine.View()
	src, dst := g.reportTo(&v, now)
	if !dst.IsValid() {
		reports.drop(&gr.report) // until the machine hears an advert again
		return
	}
	says := g.saying(dst, &v)
	changed := says != gr.said
	gr.last, gr.said = now, says
	gr.every = g.iface.reportEvery(dst, now)
	next := gr.every
	if changed {
		next = view.HelloPeriod // again soon: the one that says so may be lost
	}
	reports.put(&gr.report, g, peers.Due(now, now, false, gr.phase, next))
	g.writeHello(n, src, &owed{to: dst, mac: g.wayTo(dst), every: gr.every}, false)
}

// wayTo returns the MAC of a hello to the MASTER. It takes frames to the virtual MAC, so no neighbour has to be looked
// up, unless it is a unicast peer: that may be behind a router, or in a network that knows no virtual MACs.
func (g *group) wayTo(dst netip.Addr) [6]byte {
	for _, t := range g.speaking.reach.plan.Targets {
		if t.Dst == dst {
			return t.MAC
		}
	}
	return wire.VirtualMAC(g.cfg.VHID)
}

// answer puts the MASTER's own hello into the outbox.
func (g *group) answer(n *view.Node, a *owed) {
	if g.entry.plane == nil || g.iface == nil || g.iface.sender == nil || g.machine.State() != election.Master {
		return
	}
	if src, err := g.iface.source(a.to.Is6()); err == nil && !src.IsUnspecified() {
		g.greeting.answered = g.env.clock.Now()
		g.writeHello(n, src, a, true)
	}
}

// greetStranger puts a hello into the outbox to a vipd node that has another list of addresses, so that its adverts do
// not count here, nor this node's there. Both are MASTER sooner or later, and would know nothing of each other. The
// kernel reports such a node once per period, unless it says hello.
func (g *group) greetStranger(n *view.Node, a *owed) {
	if g.entry.plane == nil || g.iface == nil || g.iface.sender == nil || g.machine.State() == election.Init {
		return
	}
	src, err := g.iface.source(a.to.Is6())
	if err != nil || src.IsUnspecified() {
		return
	}
	if a.mac == wire.VirtualMAC(g.cfg.VHID) {
		a.mac = g.wayTo(a.to) // a unicast peer may be in a network that knows no virtual MACs
	}
	if known, ok := g.greeting.book.MAC(a.to); ok {
		a.mac = known
	}
	g.writeHello(n, src, a, false)
}

// writeHello puts a hello into the outbox. Its source is the interface's own MAC: switches would learn the virtual one.
func (g *group) writeHello(n *view.Node, src netip.Addr, a *owed, answer bool) {
	v, o := g.machine.View(), &g.env.outbox
	h := g.signing.self.Self(n, g.cfg, &v, g.env.cfg.Carp.Preempt)
	h.Answer, h.Every, h.Run, h.Number = answer, a.every, g.env.run, g.env.sequence.Next()
	link, before := &g.iface.link, len(o.hellos)
	f := wire.HelloFrame{SrcMAC: link.MAC, DstMAC: a.mac, Src: src, Dst: a.to, DSCP: g.env.cfg.Carp.DSCP, Hello: h}
	var err error
	o.hellos, err = f.AppendBinary(o.hellos, g.signing.key)
	if err != nil {
		g.env.log.Debug("hello not made", "group", g.name, "err", fmt.Errorf("to %s: %w", a.to, err))
		return
	}
	o.put(addressee{g: g, addr: a.to, what: messageHello}, link.Index, o.hellos[before:])
}

// noteHelloSent notes how a hello went. The next one is sent as if it had arrived: nothing depends on it.
func (e *env) noteHelloSent(to *addressee, err error) {
	if err != nil {
		e.log.Debug("hello not sent", "group", to.g.name, "to", to.addr, "err", err)
	}
}
