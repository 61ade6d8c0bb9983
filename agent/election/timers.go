// SPDX-License-Identifier: Apache-2.0

package election

import (
	"math"
	"math/bits"
	"net/netip"
	"time"
)

const (
	downRatio       = 3 // intervals that a BSD backup waits for; not configurable there
	minLateness     = 100 * time.Millisecond
	claimTime       = 100 * time.Millisecond // how long a claim may last until its first lease
	minLeaseMargin  = time.Millisecond
	leaseMarginPart = 100
	retryPart       = 10 // a failed send is retried after this part of the interval
	minRetry        = time.Millisecond
	handoverTime    = 5 * time.Second
	maxExtensions   = 3
	sendBurst       = 8   // extra adverts before they are spaced
	slicePart       = 128 // of the interval
	announceGap     = 100 * time.Millisecond
)

// LongestBlink is for how long the loop may not look for adverts and still have watched the clock: see Tick.Watched.
const LongestBlink = minLateness / 2

// MaxSlice bounds Machine.Slice.
const MaxSlice = 10 * time.Millisecond

// priority returns the configured priority.
func (c Config) priority() Priority { return Priority{AdvBase: c.AdvBase, AdvSkew: c.AdvSkew} }

// interval returns the configured interval: a demotion extends neither the permitted lag nor the down time.
func (c Config) interval() time.Duration { return c.priority().Interval() }

// downTime returns how long a BACKUP waits for an advert: by the rule of beat.go for a master that states a beat, else
// the ordinary time.
func (m *Machine) downTime() time.Duration {
	if beat := m.counted(); beat > 0 {
		return downRatio*beat + m.rank(beat)
	}
	return m.ordinaryDown()
}

// ordinaryDown returns the down time without a beat: by Config.MasterDown with the configured skew, or by the rule of
// fast.go with advbase 0.
func (m *Machine) ordinaryDown() time.Duration {
	c := m.cfg
	switch {
	case c.AdvBase == 0:
		return downRatio*m.assumed() + m.rank(time.Second)
	case c.MasterDown == DownOpenBSD:
		return downRatio * c.interval()
	default:
		skew := Priority{AdvSkew: c.AdvSkew}.micros()
		return downRatio*time.Duration(c.AdvBase)*time.Second + time.Duration(skew)*time.Microsecond
	}
}

// willTimeOut reports whether the interval of a master that states theirs is longer than the down time, so that
// waiting is pointless. This includes the goodbye, unless advbase is 86 or more. With advbase 0, where the
// down time follows the master, it is only the goodbye. OpenBSD also compares with 3*advbase + advskew/256.
func (c Config) willTimeOut(theirs, mine Priority) bool {
	if c.AdvBase == 0 {
		return theirs.Goodbye()
	}
	wait := downRatio*int64(c.AdvBase)*1_000_000 + Priority{AdvSkew: mine.AdvSkew}.micros()
	return wait < theirs.micros()
}

// unit returns the interval in which a lease is counted if adverts state p and the beat.
func (c Config) unit(p Priority, beat time.Duration) time.Duration {
	switch {
	case beat > 0:
		return beat
	case c.AdvBase == 0:
		return p.Interval()
	default:
		return time.Duration(c.AdvBase) * time.Second
	}
}

// span returns D: how long after an advert with this unit an equal peer may take over.
func (c Config) span(unit time.Duration) time.Duration {
	return time.Duration(c.DeadRatio * float64(unit))
}

// span returns D for the next advert.
func (m *Machine) span() time.Duration {
	return m.cfg.span(m.master.old.limit(m.cfg.unit(m.effective, m.beat())))
}

// leaseFrom returns the end of the lease if the advert sent at t0 is the last one.
func leaseFrom(t0 Instant, span time.Duration) Instant {
	return t0.Add(span - max(min(minLeaseMargin, span/10), span/leaseMarginPart))
}

// Lease returns how long the lease of a MASTER lasts that advertises as configured.
func (c Config) Lease() time.Duration {
	c = c.normal()
	return time.Duration(leaseFrom(0, c.span(c.unit(c.priority(), c.Beat))))
}

// tooLate reports whether the agent missed the due time by more than it may (I3). A decision on silence depends on the
// interval in which that is counted. The time in which the loop was at work for other groups does not count, except
// where LongestBlink may be a part of that interval.
func (m *Machine) tooLate(due Instant, silence bool) bool {
	late, interval := m.now.Sub(due), m.cfg.interval()
	limit := max(minLateness, interval/4)
	if m.cfg.AdvBase == 0 {
		limit = min(interval, m.assumed())
	}
	switch beat := m.counted(); {
	case m.state == Master && m.beat() > 0:
		limit = m.beat()
	case silence && beat > 0: // which may be a longer unit, while beats are in doubt
		limit = min(beat, max(limit, m.heardBeat))
	case m.cfg.AdvBase > 0:
		late -= m.sight
	}
	return late > limit
}

// tieDelay returns the additional wait of a node that yielded to an equal one: up to half an interval, hashed
// from this node's name and the other's address, so that two nodes that yielded to each other do not return
// together. The generation makes the next attempt differ if two delays were closer than the flight of an
// advert.
func tieDelay(interval time.Duration, node string, src netip.Addr, generation uint64) time.Duration {
	hash := uint64(14695981039346656037) // FNV-1a
	mix := func(c byte) { hash = (hash ^ uint64(c)) * 1099511628211 }
	for i := range len(node) {
		mix(node[i])
	}
	mix(0)
	for _, c := range src.AsSlice() {
		mix(c)
	}
	for range 8 {
		mix(byte(generation))
		generation >>= 8
	}
	// The last bytes affect only the low bits of FNV; the fraction is taken from the high bits.
	hash ^= hash >> 33
	hash *= 0xff51afd7ed558ccd
	hash ^= hash >> 33
	part, _ := bits.Mul64(uint64(interval/2), hash)
	return time.Duration(part)
}

// Instant is a time on CLOCK_BOOTTIME in nanoseconds. The clock counts during a suspend and is never set.
type Instant int64

// Never is later than every Instant of a running machine.
const Never Instant = math.MaxInt64

// Add returns i plus d, clamped to the range of Instant.
func (i Instant) Add(d time.Duration) Instant {
	s := i + Instant(d)
	switch {
	case d > 0 && s < i:
		return Never
	case d < 0 && s > i:
		return math.MinInt64
	}
	return s
}

// Sub returns the time from j to i, clamped to the range of Duration.
func (i Instant) Sub(j Instant) time.Duration {
	d := i - j
	switch {
	case j < 0 && d < i:
		return math.MaxInt64
	case j > 0 && d > i:
		return math.MinInt64
	}
	return time.Duration(d)
}
