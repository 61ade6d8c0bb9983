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
	// maxNap bounds a sleep of the loop, so that a lost wake-up costs a second at the most.
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
	defer func() {
		close(l.done)
		_ = l.alarm.Close() // nothing to be done about a failure
	}()
	l.syncChecks()
	l.syncInterfaces()
	l.finishAdoption()
	l.catchUp() // what the earlier vipd did not read any more
	l.tick()
	l.stale.statusLine = true
	l.supervision.tell(sdnotify.Ready)
	go l.receive(ctx.Done(), links)
	var retryAt election.Instant
	now := l.clock.Now()
	for !l.stopped(now) {
		l.beat.Store(int64(now))
		l.supervision.feed(now)
		due, wake := l.nextWake(now, &retryAt)
		l.alarm.Wait(int64(wake))
		began := l.clock.Now()
		l.lags.note(began, max(wake, now))
		select {
		case arrival := <-l.arrivals:
			if arrival(); l.left {
				l.supervision.tell(sdnotify.Stopping, sdnotify.Status("leaving to the next vipd"))
				return true
			}
		default:
			if due > 0 && began >= due {
				l.metrics.ObserveWakeupLag(began.Sub(due))
			}
			if retryAt > 0 && began >= retryAt {
				retryAt = 0
				l.syncInterfaces()
				poke(l.upkeep.look)
			}
		}
		l.look(began)
		l.rounds.sight.look(began)
		l.catchUp()
		l.tick()
		now = l.clock.Now()
		l.noteRound(began, now)
	}
	return false
}

// stopped reports whether the graceful shutdown has finished.
func (l *Loop) stopped(now election.Instant) bool {
	if !l.stopping {
		return false
	}
	if now >= l.stopBy {
		return true
	}
	for _, g := range l.groups.order {
		if g.machine.State() != election.Init {
			return false
		}
	}
	return true
}

// nextWake returns the earliest deadline of a machine (0 when there is none) and when the loop is to go round again.
func (l *Loop) nextWake(now election.Instant, retryAt *election.Instant) (due, wake election.Instant) {
	due, wake = l.groups.agenda.next(), now.Add(l.supervision.longestNap())
	if at, ok := l.defender.next(); ok {
		wake = min(wake, at)
	}
	if *retryAt == 0 && l.groups.unattached {
		*retryAt = now.Add(retryInterface)
	}
	for _, at := range [...]election.Instant{
		due, *retryAt, l.groups.restoreAt, l.resync.next(), l.groups.hostDue(now), l.nextGreeting(now),
	} {
		if at > 0 {
			wake = min(wake, at)
		}
	}
	return due, wake
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
		if g.hearWithheld(election.Never); !g.due(now) {
			alive = true
		} else if !g.renews(now) {
			g.hearKernel()
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
	l.outbox.behind = false
	l.together(func() { l.tickDue(now) })
	l.groups.keepHost(now)
	l.defend(now)
	l.post() // announcements of both
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
			g.tick(l.rounds.sight.look(l.clock.Now()))
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
	l.stopping, l.stopBy = true, l.clock.Now().Add(stopLimit)
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
