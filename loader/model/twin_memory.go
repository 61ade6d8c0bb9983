// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"

	"vipd/loader/tables"
)

// What the data plane keeps, and what follows from it: budgets, sequences, counters.

// Each class pays for a digest with elapsed time, of which it can save up this much.
const (
	class1Cost, class1Saved = 1e9 / 100_000, 1e9 / 10
	class1Kept              = class1Saved / 2 // is not lent
	class2Cost, class2Saved = 1e9 / 50, 1e9
)

// costs of each class of budgets, the third of which is for hellos, and what is saved up.
var costs = [...][2]int64{{class1Cost, class1Saved}, {class2Cost, class2Saved}, {hellosCost, hellosSaved}}

func interval(base, skew uint8) int64 {
	return int64(base)*1e9 + int64(skew)*1e6/256*1e3
}

func isGoodbye(base, skew uint8) bool { return base == 255 && skew == 255 }

// expected reports whether the advert is from the last good source with a matching counter: the same or one of the next
// eight.
func (a *twinAdvert) expected(m *twinMemory) bool {
	return m.heard > 0 && m.last.Src == a.src && a.counter()-m.last.Counter <= 8
}

// silent reports whether the last good source said goodbye or nothing for an interval, or there was none.
func (m *twinMemory) silent(now int64) bool {
	return m.heard == 0 || isGoodbye(m.last.AdvBase, m.last.AdvSkew) ||
		now > m.last.At+interval(m.last.AdvBase, m.last.AdvSkew)
}

// paid returns up to when a class is spent after one more digest; ok is false if it has not saved enough.
func (m *twinMemory) paid(class int, now int64) (spent int64, ok bool) {
	cost, saved := costs[class][0], costs[class][1]
	spent = max(m.spent[class], now-saved) + cost
	return spent, spent <= now
}

func (m *twinMemory) take(class int, kept, now int64) bool {
	spent, ok := m.paid(class, now)
	if ok = ok && spent+kept <= now; ok {
		m.spent[class] = spent
	}
	return ok
}

// pay charges a digest: unknown sources have a small budget, and half of the master's savings while it is silent.
func (m *twinMemory) pay(expected bool, now int64) bool {
	if expected {
		return m.take(0, 0, now)
	}
	return m.take(1, 0, now) || m.silent(now) && m.take(0, class1Kept, now)
}

// covered reports whether pay would succeed for an unknown source.
func (m *twinMemory) covered(now int64) bool {
	m2 := *m
	return m2.pay(false, now)
}

// noteLimited records it at most once per millisecond.
func (m *twinMemory) noteLimited(now int64) {
	if now-m.limited > 1e6 {
		m.limited = now
	}
}

// twinPeer is what is known about one source of authentic adverts.
type twinPeer struct {
	counter       uint64
	changed       uint16 // when the counter did, in ticks of 2^26 ns
	demoted       bool   // has ever sent a demote byte
	varies, stays bool   // its counter
	rises         uint8
	jumps         uint8
	jumped        int64
	interval      int64
}

// near reports whether a counter is one of the 64 after another.
func near(counter, after uint64) bool { return counter-after >= 1 && counter-after <= 64 }

// adopted reports whether the source continues, as the BSDs do, from what it heard last from the group or from us.
func adopted(g *twinGroup, m *twinMemory, counter uint64) bool {
	if near(counter, m.last.Counter) {
		return true
	}
	for _, s := range g.own {
		if s.counter != 0 && near(counter, s.counter) {
			return true
		}
	}
	return false
}

const span = 1 << 32

// repeats is the strict rule for a known source. Three small steps up prove that it counts.
func (p *twinPeer) repeats(g *twinGroup, m *twinMemory, counter uint64, now int64) (replay bool, rule string) {
	proven, goesOn := p.rises >= 3, near(counter, m.last.Counter)
	switch up, down := counter-p.counter, p.counter-counter; {
	case up == 0 && proven:
		return !goesOn, fmt.Sprint("the same again, goes on ", goesOn)
	case up == 0:
		return false, "the same again, as OpenBSD"
	case up < span:
		return false, "rises"
	case down < span:
		return !goesOn, fmt.Sprint("behind, goes on ", goesOn)
	case !proven:
		return false, "far, never counted"
	case adopted(g, m, counter):
		return false, "far, adopted"
	case now-p.jumped >= p.interval*3/4:
		p.jumped = now
		p.jumps++
		return p.jumps <= 3, fmt.Sprint("far, jump ", p.jumps)
	}
	return p.jumps <= 3, "far, in a burst"
}

// learn updates what is known about the source, and sets the event's flags from it.
func (p *twinPeer) learn(g *twinGroup, m *twinMemory, e *tables.Event, met bool) {
	tick := uint16(e.At >> 26)
	if !met {
		*p = twinPeer{counter: e.Counter, changed: tick, interval: interval(e.AdvBase, e.AdvSkew)}
	}
	up := e.Counter - p.counter
	switch {
	case up == 0:
		p.stays = p.stays || met && tick-p.changed >= 2
	case up < span:
		p.rises, p.jumps = min(p.rises+1, 3), 0
	case !adopted(g, m, e.Counter):
		p.rises, p.jumps = 0, 0
	}
	if up != 0 {
		p.varies, p.stays, p.changed = true, false, tick
	}
	p.counter = e.Counter
	p.demoted = p.demoted || e.Demote != 0
	if !isGoodbye(e.AdvBase, e.AdvSkew) {
		p.interval = interval(e.AdvBase, e.AdvSkew)
	}
	e.DemoteEver = p.demoted
	e.DemoteAware = p.stays || p.demoted && !p.varies
}
