// SPDX-License-Identifier: Apache-2.0

package election

import "time"

const (
	// MaxSkew is the highest advskew on the wire (FreeBSD clamps to it) and the demotion of maintenance
	// mode.
	MaxSkew = 240
	// GoodbyeValue in both AdvBase and AdvSkew is a goodbye.
	GoodbyeValue = 255

	maxDemote     = 255
	demotionLimit = 1 << 20 // a larger total is clamped to avoid an overflow
)

// Priority is the part of an advert that is compared. Smaller intervals win.
type Priority struct {
	AdvBase uint8 // seconds
	AdvSkew uint8 // 1/256 s
	Demote  uint8 // OpenBSD's demotion count
}

// GoodbyePriority returns the goodbye of OpenBSD and NetBSD.
func GoodbyePriority() Priority {
	return Priority{AdvBase: GoodbyeValue, AdvSkew: GoodbyeValue}
}

// yieldToAll returns the priority of a leaving node in the data plane: the next node that advertises is the
// successor, whatever its demotion.
func yieldToAll() Priority {
	return Priority{AdvBase: GoodbyeValue, AdvSkew: GoodbyeValue, Demote: maxDemote}
}

// Goodbye reports whether p is a goodbye.
func (p Priority) Goodbye() bool {
	return p.AdvBase == GoodbyeValue && p.AdvSkew == GoodbyeValue
}

// micros returns the interval as CARP compares it, in whole microseconds, rounded down.
func (p Priority) micros() int64 {
	return int64(p.AdvBase)*1_000_000 + int64(p.AdvSkew)*1_000_000/256
}

// Interval returns the time between two adverts of this priority; 1/256 s if both values are zero (OpenBSD).
func (p Priority) Interval() time.Duration {
	if p.AdvBase == 0 && p.AdvSkew == 0 {
		p.AdvSkew = 1
	}
	return time.Duration(p.micros()) * time.Microsecond
}

// Superior reports whether a MASTER that last sent mine must yield to theirs: if the interval is shorter or
// equal, or, for a source that uses demote bytes, by OpenBSD's rule, where a lower demotion takes
// precedence. A goodbye is never superior.
func Superior(theirs, mine Priority, aware bool) bool {
	if theirs.Goodbye() {
		return false
	}
	byTime := theirs.micros() <= mine.micros()
	if !aware {
		return byTime
	}
	return theirs.Demote < mine.Demote || byTime && theirs.Demote <= mine.Demote
}

// tied reports whether two priorities are equal.
func tied(theirs, mine Priority, aware bool) bool {
	return theirs.micros() == mine.micros() && (!aware || theirs.Demote == mine.Demote)
}

// worst returns a priority to which every advert is superior that is superior to a or to b.
func worst(a, b Priority) Priority {
	w := a
	if b.micros() > a.micros() {
		w = b
	}
	w.Demote = max(a.Demote, b.Demote)
	return w
}

// Effective returns the priority under a total of demotions: the skew is clamp(advskew+total, 0, 240), with
// advbase 0 at least 1.
func (c Config) Effective(demotion int) Priority {
	p := Priority{AdvBase: c.AdvBase}
	skew := min(max(int(c.AdvSkew)+demotion, 0), MaxSkew)
	if c.AdvBase == 0 {
		skew = max(skew, 1)
	}
	p.AdvSkew = uint8(skew)
	if c.SendDemote {
		p.Demote = demoteByte(demotion)
	}
	return p
}

func demoteByte(demotion int) uint8 {
	return uint8(min(max(demotion, 0), maxDemote))
}
