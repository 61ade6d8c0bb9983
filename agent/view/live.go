// SPDX-License-Identifier: Apache-2.0

package view

import (
	"sync/atomic"

	"vipd/agent/election"
	"vipd/loader"
)

// Live is a group as long as it exists: its newest view, and counters that outlive the
// data plane's own, which restart with a re-created interface.
type Live struct {
	name string
	now  atomic.Pointer[Edition]

	sent, failed atomic.Uint64
	restored     atomic.Uint64
	restoredAt   atomic.Int64
	notListed    atomic.Uint64
}

// Name returns the group's name.
func (l *Live) Name() string { return l.name }

// Edition is a published view, with what needs no other one.
type Edition struct {
	*Group
	lease atomic.Int64 // of a MASTER, renewed since; 0: it was not
}

// Edition returns what was published last, nil before the first time.
func (l *Live) Edition() *Edition { return l.now.Load() }

// Published returns what was published last, at no cost; nil before the first time. Of the machine, the lease and what
// was heard last may be out of date.
func (l *Live) Published() *Group {
	if e := l.Edition(); e != nil {
		return e.Group
	}
	return nil
}

// Now returns what was published last, with the lease renewed since and what the kernel heard and withheld since; nil
// before the first time.
func (l *Live) Now() *Group {
	if e := l.Edition(); e != nil {
		return e.Now(nil)
	}
	return nil
}

// Now returns the view with the lease renewed since and what the kernel heard and withheld since. If there is anything
// of that, it is a copy in room, which may serve one group after the other; nil is room for this one.
func (e *Edition) Now(room *Group) *Group {
	m, changed := e.machine()
	if !changed {
		return e.Group
	}
	if room == nil {
		room = &Group{}
	}
	*room = *e.Group
	room.Machine = m
	return room
}

// machine returns the machine as readers see it, and whether it has changed since it was published.
func (e *Edition) machine() (m election.View, changed bool) {
	m = e.Machine
	switch {
	case m.State == election.Master:
		if lease := election.Instant(e.lease.Load()); lease != 0 {
			return m.Renewed(lease), true
		}
	case m.State == election.Backup && e.Plane != nil:
		repeats := e.Repeats
		adverts, n := repeats.Withheld(HeardAt(e.Plane.Heard()), election.Never)
		for _, a := range adverts[:n] {
			m = m.HeardAgain(a)
		}
		return m, n > 0
	}
	return m, false
}

// Sent returns the number of adverts sent.
func (l *Live) Sent() uint64 { return l.sent.Load() }

// Failed returns how often an advert could not be sent to all.
func (l *Live) Failed() uint64 { return l.failed.Load() }

// Restored returns how many addresses were restored that another process had removed, and
// when that was last, 0 for never.
func (l *Live) Restored() (count uint64, last election.Instant) {
	return l.restored.Load(), election.Instant(l.restoredAt.Load())
}

// NotListed returns how many hellos came from peers for which there was no room in [OtherNodes].
func (l *Live) NotListed() uint64 { return l.notListed.Load() }

// Publisher is the writing end of a [Live]. The loop has it.
type Publisher struct{ live Live }

// NewPublisher returns the publisher of a group that is new.
func NewPublisher(name string) *Publisher {
	p := &Publisher{}
	p.live.name = name
	return p
}

// Live returns the reading end.
func (p *Publisher) Live() *Live { return &p.live }

// Publish makes g the newest view, and returns the one before, nil at first. g must not
// change afterwards.
func (p *Publisher) Publish(g *Group) (before *Group) {
	if e := p.live.now.Swap(&Edition{Group: g}); e != nil {
		return e.Group
	}
	return nil
}

// Last returns what was published last, nil before the first time.
func (p *Publisher) Last() *Group { return p.live.Published() }

// Update reports whether readers see the machine as m by what was published last: nothing has changed, or only the
// lease, which they see from now on, or the adverts that the kernel has withheld.
func (p *Publisher) Update(m *election.View, repeats *election.Repeats) bool {
	e := p.live.now.Load()
	if e == nil || !repeats.Follow(&e.Repeats) {
		return false
	}
	if m.State == election.Master && m.Lease != 0 && e.Machine.Renewed(m.Lease) == *m {
		e.lease.Store(int64(m.Lease))
		return true
	}
	seen, _ := e.machine()
	return seen == *m
}

// CountSent counts an advert that was sent.
func (p *Publisher) CountSent() { p.live.sent.Add(1) }

// CountFailed counts an advert that could not be sent to all.
func (p *Publisher) CountFailed() { p.live.failed.Add(1) }

// CountNotListed counts a hello of a peer for which there is no room.
func (p *Publisher) CountNotListed() { p.live.notListed.Add(1) }

// CountRestored counts addresses that were restored.
func (p *Publisher) CountRestored(n int, now election.Instant) {
	p.live.restored.Add(uint64(n))
	p.live.restoredAt.Store(int64(now))
}

// HeardAt returns when the kernel heard the advertisements that it withheld last, by family.
func HeardAt(heard [2]loader.Heard) [2]election.Instant {
	return [2]election.Instant{election.Instant(heard[0].At), election.Instant(heard[1].At)}
}
