// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"context"
	"time"

	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/agent/sdnotify"
	"vipd/loader"
)

const (
	// maxNap bounds a sleep of the loop, so that a suspend (which Go's timers do not count) or a lost wake-up costs a
	// second at the most.
	maxNap = time.Second
	// retryInterface is how often an interface or group that could not be used is tried again without a netlink event,
	// as for an XDP slot that another program frees.
	retryInterface = 2 * time.Second
	// maxAhead bounds by how much earlier than due a group is looked at when another one is.
	maxAhead = 250 * time.Millisecond
	// stopLimit bounds a graceful stop: a handover ends by itself within 5 s.
	stopLimit = 6 * time.Second
)

// Loop owns the machines of all groups and everything that they act on. Other goroutines have it do something by Do,
// and read what it publishes.
type Loop struct {
	*env
	inbox
	handicap
	interfaceSet
	adoption    adoption
	exchange    exchange
	upkeep      upkeep
	defender    defender
	greeter     greeter
	supervision supervision
	events      []loader.Event // reused by readRing
	due         []*group       // reused by dueAt
	lags        lags
	rounds      rounds
	published
}

// Run goes round until a graceful stop, which the end of ctx begins, has finished. It returns true when it was asked to
// leave without goodbye.
func (l *Loop) Run(ctx context.Context, links *netio.Watcher) (left bool) {
	defer close(l.done)
	l.syncChecks()
	l.syncInterfaces()
	l.finishAdoption()
	l.catchUp() // what the earlier vipd did not read any more
	l.tick()
	l.stale.statusLine = true
	l.supervision.tell(sdnotify.Ready)
	stop := ctx.Done()
	timer := time.NewTimer(maxNap)
	defer timer.Stop()
	var stopBy, retryAt election.Instant
	for !l.stopped(stopBy) {
		now := l.clock.Now()
		l.beat.Store(int64(now))
		l.supervision.feed(now)
		due, wake := l.nextWake(&retryAt)
		awake := l.clock.Now().Add(wake)
		timer.Reset(wake)
		var began election.Instant
		select {
		case <-stop:
			began = l.clock.Now()
			stop = nil
			stopBy = l.clock.Now().Add(stopLimit)
			l.catchUp()
			l.supervision.tell(sdnotify.Stopping)
			l.releaseAll()
		case <-l.plane.Wake():
			began = l.clock.Now()
		case <-timer.C:
			began = l.clock.Now()
			if due > 0 {
				l.metrics.ObserveWakeupLag(max(0, began.Sub(due)))
			}
			if retryAt > 0 && began >= retryAt {
				retryAt = 0
				l.syncInterfaces()
				poke(l.upkeep.look)
			}
		case <-links.Changed():
			began = l.clock.Now()
			l.resync.want(links.LinksChanged())
		case r := <-l.upkeep.done:
			began = l.clock.Now()
			l.catchUp()
			l.noteRepair(r)
		case <-l.checks.Changed():
			began = l.clock.Now()
			l.syncChecks()
		case c := <-l.commands:
			began = l.clock.Now()
			l.catchUp()
			c.run()
			l.stale.reach, l.stale.idle = true, true
			close(c.done)
		case <-l.gone:
			l.supervision.tell(sdnotify.Stopping, sdnotify.Status("leaving to the next vipd"))
			return true
		}
		l.lags.note(l.clock.Now(), awake)
		l.look(began)
		l.catchUp()
		l.tick()
		l.noteRound(began)
	}
	return false
}

// stopped reports whether the graceful shutdown has finished.
func (l *Loop) stopped(stopBy election.Instant) bool {
	if !l.stopping {
		return false
	}
	if l.clock.Now() >= stopBy {
		return true
	}
	for _, g := range l.groups.order {
		if g.machine.State() != election.Init {
			return false
		}
	}
	return true
}

// nextWake returns the earliest deadline of a machine (0 when there is none) and how long to sleep.
func (l *Loop) nextWake(retryAt *election.Instant) (election.Instant, time.Duration) {
	now := l.clock.Now()
	due := l.groups.agenda.next()
	nap := l.supervision.longestNap()
	if due > 0 {
		nap = min(nap, max(0, due.Sub(now)))
	}
	if at, ok := l.defender.next(); ok {
		nap = min(nap, max(0, at.Sub(now)))
	}
	if *retryAt == 0 && l.groups.unattached {
		*retryAt = now.Add(retryInterface)
	}
	if at := l.groups.restoreAt; at > 0 {
		nap = min(nap, max(0, at.Sub(now)))
	}
	for _, at := range []election.Instant{*retryAt, l.resync.next(), l.groups.hostDue(now), l.nextGreeting(now)} {
		if at > 0 {
			nap = min(nap, max(0, at.Sub(now)))
		}
	}
	return due, nap
}

// catchUp gives every advert the kernel has authenticated to its machine, as one batch in kernel time order, and then,
// to those that are due, what the kernel withheld and what the ring may have missed.
func (l *Loop) catchUp() {
	l.readRing()
	now := l.clock.Now()
	alive := false // a group is not due any more: its master was heard again
	for _, g := range l.dueAt(now) {
		if g.entry.plane == nil || !g.due(now) {
			continue
		}
		if g.hearWithheld(election.Never); g.due(now) {
			g.hearKernel()
		} else {
			alive = true
		}
	}
	if alive {
		l.lookAhead(now)
	}
}

// lookAhead gives groups that would be due soon what the kernel withheld for them: it saves them a wake-up each.
func (l *Loop) lookAhead(now election.Instant) {
	for _, g := range l.dueAt(now.Add(maxAhead)) {
		if g.due(now.Add(g.ahead())) {
			g.hearWithheld(election.Never)
		}
	}
}

func (l *Loop) readRing() {
	events, err := l.plane.Drain(l.events[:0])
	if err != nil {
		l.log.Error("event ring not readable, going by what the kernel saw last", "err", err)
	}
	l.events = events
	for _, ev := range events {
		if g := l.groups.at(ev.IfIndex, ev.VHID); g != nil {
			g.hear(ev)
		}
	}
	l.noteClaims()
}

// tick lets every machine that is due decide, on the state after the batch.
func (l *Loop) tick() {
	now := l.clock.Now()
	l.lookAround(now)
	l.together(func() { l.tickDue(now) })
	l.groups.keepHost(now)
	l.defend(now)
	l.greet(now)
	l.settleLedger()
	l.expireDemotions(now)
	l.giveUpOnChecks(now)
	if l.stale.idle {
		l.stale.idle = false
		l.forgetRemoved()
		l.groups.start()
	}
	l.keepMemory()
	if at := l.groups.restoreAt; at > 0 && now >= at {
		l.syncAddresses() // what is gone now
	}
	l.wakeWaiters()
}

func (l *Loop) tickDue(now election.Instant) {
	for _, g := range l.dueAt(now) {
		if !g.due(now) {
			continue
		}
		l.attend(g)
		// What the group before did may have taken a while, and this one's master has spoken.
		if l.readRing(); g.due(now) {
			g.tick()
		}
	}
}

// dueAt returns the groups whose machines want to decide. The slice is good until the next call.
func (l *Loop) dueAt(now election.Instant) []*group {
	l.due = l.groups.agenda.due(now, l.due[:0])
	return l.due
}

// releaseAll begins the graceful stop of every group.
func (l *Loop) releaseAll() {
	l.stopping = true
	l.ending.Store(true)
	l.log.Info("stopping", "groups", len(l.groups.order))
	l.groups.tell(election.Release{Reason: election.ReasonStop})
}

// TakeDown takes what is left of the groups and interfaces off the host, after Run. The groups are in INIT by then,
// unless the time of a graceful stop ran out.
func (l *Loop) TakeDown() {
	for _, g := range l.groups.order {
		g.unplug(election.ReasonStop)
	}
	for _, p := range l.interfaces {
		p.close(election.ReasonStop)
	}
}

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
