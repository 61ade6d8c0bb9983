// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"net/netip"
	"time"

	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/agent/sdnotify"
	"vipd/loader"
)

const (
	// maxNap bounds a sleep of the loop, so that a suspend (which Go's timers do
	// not count) or a lost wake-up costs a second at the most.
	maxNap = time.Second
	// retryPort is how often an interface or group that could not be used is tried again
	// without a netlink event, as for an XDP slot that somebody frees.
	retryPort = 2 * time.Second
	// stopLimit bounds a graceful stop: a handover ends by itself within 5 s.
	stopLimit = 6 * time.Second
)

// command is a piece of work for the loop, with the answer's channel.
type command struct {
	run  func()
	done chan struct{}
}

// do runs fn in the loop and returns when it has run. The error is that of ctx,
// or errStopping when the loop has ended.
func (a *Agent) do(ctx context.Context, fn func()) error {
	c := command{run: fn, done: make(chan struct{})}
	select {
	case a.commands <- c:
	case <-ctx.Done():
		return ctx.Err()
	case <-a.done:
		return errStopping
	}
	<-c.done
	return nil
}

// loop is the goroutine that owns the machines. It returns true when it was
// asked to leave without goodbye.
func (a *Agent) loop(ctx context.Context, links *netio.Watcher) (left bool) {
	defer close(a.done)
	a.syncPorts()
	a.settleAdopted()
	a.catchUp() // what the earlier vipd did not read any more
	a.tick()
	a.supervision.stale = true
	a.tellSystemd(sdnotify.Ready)
	stop := ctx.Done()
	timer := time.NewTimer(maxNap)
	defer timer.Stop()
	var stopBy, retryAt election.Instant
	for !a.stopped(stopBy) {
		a.turn()
		due, wake := a.nextWake(&retryAt)
		awake := a.now().Add(wake)
		timer.Reset(wake)
		select {
		case <-stop:
			stop = nil
			stopBy = a.now().Add(stopLimit)
			a.catchUp()
			a.tellSystemd(sdnotify.Stopping)
			a.releaseAll()
		case <-a.plane.Wake():
		case <-timer.C:
			if due > 0 {
				a.metrics.ObserveWakeupLag(max(0, a.now().Sub(due)))
			}
			if now := a.now(); retryAt > 0 && now >= retryAt {
				retryAt = 0
				a.syncPorts()
			}
		case <-links.Changed():
			a.catchUp() // what the wire said before the link went counts first
			a.syncPorts()
			poke(a.upkeep.look)
		case s := <-a.upkeep.done:
			a.catchUp()
			a.noteSettled(s)
		case <-a.checks.Changed():
			a.syncChecks()
		case c := <-a.commands:
			a.catchUp()
			c.run()
			close(c.done)
		case <-a.leave:
			a.tellSystemd(sdnotify.Stopping, sdnotify.Status("leaving to the next vipd"))
			return true
		}
		a.late.note(a.now(), awake)
		a.catchUp()
		a.tick()
	}
	return false
}

// stopped says whether a graceful stop is through.
func (a *Agent) stopped(stopBy election.Instant) bool {
	if !a.stopping {
		return false
	}
	if a.now() >= stopBy {
		return true
	}
	for _, g := range a.order {
		if g.machine.View().State != election.Init {
			return false
		}
	}
	return true
}

// nextWake returns the earliest deadline of a machine (0 when there is none)
// and how long to sleep.
func (a *Agent) nextWake(retryAt *election.Instant) (election.Instant, time.Duration) {
	now := a.now()
	var due election.Instant
	for _, g := range a.order {
		if at, ok := g.machine.Deadline(); ok && (due == 0 || at < due) {
			due = at
		}
	}
	nap := a.longestNap()
	if due > 0 {
		nap = min(nap, max(0, due.Sub(now)))
	}
	if *retryAt == 0 && a.attachFaulty() {
		*retryAt = now.Add(retryPort)
	}
	if *retryAt > 0 {
		nap = min(nap, max(0, retryAt.Sub(now)))
	}
	return due, nap
}

// attachFaulty says whether something could not be attached that may be later.
func (a *Agent) attachFaulty() bool {
	for _, g := range a.order {
		if g.fault == election.ReasonAttachFailed {
			return true
		}
	}
	return false
}

// catchUp gives every advert the kernel has authenticated to its machine, as
// one batch in kernel time order, and then what the ring may have missed.
func (a *Agent) catchUp() {
	a.readRing()
	now := a.now()
	for _, g := range a.order {
		if g.plane != nil && g.due(now) {
			a.hearKernel(g)
		}
	}
}

// due reports whether the machine wants to decide.
func (g *group) due(now election.Instant) bool {
	at, ok := g.machine.Deadline()
	return ok && at <= now
}

func (a *Agent) readRing() {
	events, err := a.plane.Drain(a.events[:0])
	if err != nil {
		a.log.Error("event ring not readable, going by the kernel's records", "err", err)
	}
	a.events = events
	for _, ev := range events {
		if g := a.groupAt(ev.IfIndex, ev.VHID); g != nil {
			a.hear(g, ev)
		}
	}
}

// hear gives one advert to the group's machine, unless it knows it or a newer one. Two
// CPUs may stamp two families' adverts alike: it is the counter that tells them apart.
func (a *Agent) hear(g *group, ev loader.Event) {
	at := election.Instant(ev.At)
	if at < g.lastHeard || at == g.lastHeard && ev.Counter == g.heardCounter {
		return
	}
	a.recorder.Heard(g.name, ev.At, int64(a.now())-ev.At)
	a.step(g, g.advert(ev))
}

// advert turns a kernel event into the machine's, and notes it as heard.
func (g *group) advert(ev loader.Event) election.Advert {
	g.lastHeard = election.Instant(ev.At)
	g.heardCounter = ev.Counter
	return election.Advert{
		At: g.lastHeard, Src: ev.Src,
		Priority: election.Priority{AdvBase: ev.AdvBase, AdvSkew: ev.AdvSkew, Demote: ev.Demote},
		Aware:    ev.DemoteAware, DemoteEver: ev.DemoteEver, Yielded: ev.Yielded, Generation: ev.Generation,
	}
}

// hearKernel applies the kernel's own record of the group: the newest advert in
// case the ring was full, and a yield that no event told of (design I2, I3).
func (a *Agent) hearKernel(g *group) {
	seen, err := g.plane.Seen()
	if err != nil {
		a.log.Error("kernel record not readable", "group", g.name, "err", err)
		return
	}
	if seen.Count > 0 {
		a.hear(g, seen.Event)
	}
	g.blind = seen.LimitedAt > g.limitedAt
	g.limitedAt = seen.LimitedAt
	v := g.machine.View()
	if v.State == election.Master && seen.YieldedGeneration >= v.Generation {
		a.step(g, election.Yielded{Generation: v.Generation})
	}
}

// tick lets every machine that is due decide, on the state after the batch.
func (a *Agent) tick() {
	now := a.now()
	for _, g := range a.order {
		if !g.due(now) {
			continue
		}
		a.listen(g)
		// What the group before did may have taken a while, and this one's master has spoken.
		if a.readRing(); g.due(now) {
			a.step(g, election.Tick{Blind: g.blind || g.deaf})
			g.blind, g.deaf = false, false
		}
	}
	a.settleLedger()
	a.expireDemotions(now)
	a.forgetRemoved()
	a.settle()
	a.wakeWaiters()
}

func (a *Agent) groupAt(ifindex int, vhid uint8) *group {
	return a.byPlace[place{ifindex, vhid}]
}

// place is where a group lives in the data plane.
type place struct {
	ifindex int
	vhid    uint8
}

// syncPorts reads all interfaces and moves the groups along with them. It is
// idempotent and cheap: every netlink event ends here.
func (a *Agent) syncPorts() {
	vips := map[string]map[netip.Addr]bool{}
	for _, g := range a.order {
		m := vips[g.cfg.Interface]
		if m == nil {
			m = map[netip.Addr]bool{}
			vips[g.cfg.Interface] = m
		}
		for _, p := range g.cfg.Addresses {
			m[p.Addr()] = true
		}
	}
	changed := false
	for name, p := range a.ports {
		was := p.fault
		p.refresh(a, vips[name])
		changed = a.notePort(p, was) || changed
	}
	clear(a.byPlace)
	// A group that lost its link goes to INIT before the node's demotion is
	// advertised, as it has no link to advertise it on; one that got it back
	// starts with the demotion already gone.
	for _, g := range a.order {
		a.syncGroup(g)
	}
	if changed {
		a.demote()
	}
	a.settle()
	a.publish()
}

// notePort keeps the ledger's share of an interface and says once what is wrong.
// It reports whether the sum changed.
func (a *Agent) notePort(p *port, was election.Reason) bool {
	if p.fault == was {
		return false
	}
	name := demotionLinkPrefix + p.name
	if p.fault == 0 {
		a.log.Info("interface usable", "ifname", p.name)
		return a.ledger.remove(name)
	}
	a.log.Warn("interface not usable", "ifname", p.name, "reason", p.fault.String(), "detail", p.detail)
	return a.ledger.set(name, a.cfg.Carp.IfdownDemotion, p.detail, a.timeOfDay())
}

// syncGroup puts one group into the data plane of its port, or its machine into
// INIT when the port is of no use.
func (a *Agent) syncGroup(g *group) {
	p := g.port
	g.fault, g.detail = p.fault, p.detail
	if p.opened {
		a.byPlace[place{p.link.Index, g.cfg.VHID}] = g
		if err := g.plug(a); err != nil {
			a.log.Error("group not in the data plane", "group", g.name, "err", err)
			g.fault, g.detail = election.ReasonAttachFailed, err.Error() // the port's other groups have no part in it
		}
	}
	if g.fault == 0 || a.leaving(g) {
		return
	}
	if v := g.machine.View(); v.State != election.Init || v.Reason != g.fault {
		a.step(g, election.Down{Reason: g.fault})
	}
	g.publish(a)
}

// settle starts every group that is in INIT without a reason to be there.
func (a *Agent) settle() {
	for _, g := range a.order {
		if g.fault != 0 || g.plane == nil || a.leaving(g) {
			continue
		}
		if v := g.machine.View(); v.State == election.Init {
			a.step(g, election.Demotion{Total: a.ledger.total()})
			a.step(g, election.Up{Reason: upReason(v.Reason)})
		}
	}
}

// leaving says that the group is in INIT, or on its way there, on purpose.
func (a *Agent) leaving(g *group) bool { return a.disabled || g.removed || a.stopping }

// upReason names why a group leaves INIT by why it was there.
func upReason(init election.Reason) election.Reason {
	switch init {
	case election.ReasonDisabled:
		return election.ReasonEnabled
	case election.ReasonLinkDown, election.ReasonInterfaceMissing, election.ReasonInterfaceEnslaved:
		return election.ReasonLinkUp
	default:
		return election.ReasonStartup
	}
}

// releaseAll begins the graceful stop of every group.
func (a *Agent) releaseAll() {
	a.stopping = true
	a.log.Info("stopping", "groups", len(a.order))
	for _, g := range a.order {
		a.step(g, election.Release{Reason: election.ReasonStop})
	}
}
