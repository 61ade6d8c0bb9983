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
	now  atomic.Pointer[Group]

	sent, failed atomic.Uint64
	restored     atomic.Uint64
	restoredAt   atomic.Int64
}

// Name returns the group's name.
func (l *Live) Name() string { return l.name }

// Now returns what was published last, with what the kernel heard and withheld since; nil before the first time.
func (l *Live) Now() *Group {
	g := l.now.Load()
	if g == nil || g.Plane == nil || g.Machine.State != election.Backup {
		return g
	}
	repeats := g.Repeats
	adverts, n := repeats.Withheld(HeardAt(g.Plane.Heard()), election.Never)
	if n == 0 {
		return g
	}
	fresh := *g
	for _, a := range adverts[:n] {
		fresh.Machine = fresh.Machine.HeardAgain(a)
	}
	return &fresh
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
func (p *Publisher) Publish(g *Group) (before *Group) { return p.live.now.Swap(g) }

// CountSent counts an advert that was sent.
func (p *Publisher) CountSent() { p.live.sent.Add(1) }

// CountFailed counts an advert that could not be sent to all.
func (p *Publisher) CountFailed() { p.live.failed.Add(1) }

// CountRestored counts addresses that were restored.
func (p *Publisher) CountRestored(n int, now election.Instant) {
	p.live.restored.Add(uint64(n))
	p.live.restoredAt.Store(int64(now))
}

// HeardAt returns when the kernel heard the advertisements that it withheld last, by family.
func HeardAt(heard [2]loader.Heard) [2]election.Instant {
	return [2]election.Instant{election.Instant(heard[0].At), election.Instant(heard[1].At)}
}
