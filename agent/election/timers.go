// SPDX-License-Identifier: Apache-2.0

package election

import (
	"math/bits"
	"net/netip"
	"time"
)

const (
	downRatio       = 3 // adverts a BSD backup waits for; not configurable there
	minLateness     = 100 * time.Millisecond
	claimTime       = 100 * time.Millisecond // how long a claim may speak before its first lease
	minLeaseMargin  = time.Millisecond
	leaseMarginPart = 100
	retryPart       = 10 // a failed send is tried again after this part of the interval
	minRetry        = time.Millisecond
	handoverTime    = 5 * time.Second
	maxExtensions   = 3
	sendBurst       = 8 // adverts out of turn before they are spaced
)

// interval is the group's own, as configured: neither lateness nor the down time are
// stretched by a demotion.
func (c Config) interval() time.Duration {
	return Priority{AdvBase: c.AdvBase, AdvSkew: c.AdvSkew}.Interval()
}

// downTime is how long a BACKUP waits for an advert: as Config.MasterDown says, with the
// configured skew, or as fast.go says with advbase 0.
func (m *Machine) downTime() time.Duration {
	c := m.cfg
	switch {
	case c.AdvBase == 0:
		return downRatio*m.beat() + m.rank()
	case c.MasterDown == DownOpenBSD:
		return downRatio * c.interval()
	default:
		skew := Priority{AdvSkew: c.AdvSkew}.micros()
		return downRatio*time.Duration(c.AdvBase)*time.Second + time.Duration(skew)*time.Microsecond
	}
}

// willTimeOut reports whether a master that states theirs cannot be heard again within
// the down time, so that waiting for it is pointless. Catches the bow-out, unless
// advbase is 86 or more; the only thing it catches with advbase 0, where the down time
// follows the master. OpenBSD compares with 3*advbase + advskew/256 as well.
func (c Config) willTimeOut(theirs, mine Priority) bool {
	if c.AdvBase == 0 {
		return theirs.Goodbye()
	}
	wait := downRatio*int64(c.AdvBase)*1_000_000 + Priority{AdvSkew: mine.AdvSkew}.micros()
	return wait < theirs.micros()
}

// span is D: how long after an advert stating p an equal peer may take over.
func (c Config) span(p Priority) time.Duration {
	unit := time.Duration(c.AdvBase) * time.Second
	if c.AdvBase == 0 {
		unit = p.Interval()
	}
	return time.Duration(c.DeadRatio * float64(unit))
}

// leaseFrom is when we fall silent if the advert sent at t0 remains our last one.
func leaseFrom(t0 Instant, span time.Duration) Instant {
	return t0.Add(span - max(minLeaseMargin, span/leaseMarginPart))
}

// tooLate reports whether a timer due at that moment was not watched (I3).
func (m *Machine) tooLate(due Instant) bool {
	interval := m.cfg.interval()
	limit := max(minLateness, interval/4)
	if m.cfg.AdvBase == 0 {
		limit = min(interval, m.beat())
	}
	return m.now.Sub(due) > limit
}

// tieDelay lengthens the waits of a node that yielded to an equal: a part of half an
// interval hashed from who we are and whom we heard, so that two nodes that yielded to
// each other do not come back together. The generation makes the next try differ, should
// two nodes have drawn parts that are closer than the flight of an advert.
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
	// FNV leaves the last bytes in the low bits; the fraction is taken from the high ones.
	hash ^= hash >> 33
	hash *= 0xff51afd7ed558ccd
	hash ^= hash >> 33
	part, _ := bits.Mul64(uint64(interval/2), hash)
	return time.Duration(part)
}
