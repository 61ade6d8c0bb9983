// SPDX-License-Identifier: Apache-2.0

package election

import "time"

const (
	// MaxSkew is the highest advskew on the wire (FreeBSD clamps to it), and what
	// maintenance mode adds.
	MaxSkew = 240
	// GoodbyeValue in both AdvBase and AdvSkew is a bow-out.
	GoodbyeValue = 255

	maxDemote     = 255
	demotionLimit = 1 << 20 // a sum beyond this is clamped; keeps the arithmetic from overflowing
)

// Priority is what an advert states and the data plane compares. Smaller intervals win.
type Priority struct {
	AdvBase uint8 // seconds
	AdvSkew uint8 // 1/256 s
	Demote  uint8 // OpenBSD's demotion count
}

// GoodbyePriority is the bow-out of OpenBSD and NetBSD: the sender is gone.
func GoodbyePriority() Priority {
	return Priority{AdvBase: GoodbyeValue, AdvSkew: GoodbyeValue}
}

// yieldToAnybody is what a leaving node records as sent: whoever advertises next is the
// successor, however demoted.
func yieldToAnybody() Priority {
	return Priority{AdvBase: GoodbyeValue, AdvSkew: GoodbyeValue, Demote: maxDemote}
}

// Goodbye reports whether p is a bow-out.
func (p Priority) Goodbye() bool {
	return p.AdvBase == GoodbyeValue && p.AdvSkew == GoodbyeValue
}

// micros is the advert interval as CARP compares it: whole microseconds, cut.
func (p Priority) micros() int64 {
	return int64(p.AdvBase)*1_000_000 + int64(p.AdvSkew)*1_000_000/256
}

// Interval is the time between two adverts of this priority, 1/256 s when both values
// are zero (OpenBSD).
func (p Priority) Interval() time.Duration {
	if p.AdvBase == 0 && p.AdvSkew == 0 {
		p.AdvSkew = 1
	}
	return time.Duration(p.micros()) * time.Microsecond
}

// Superior reports whether a MASTER that last sent mine must yield to theirs: the
// interval is shorter or equal, or, against a source that is aware of demote bytes,
// OpenBSD's rule, where fewer demotions win over everything. A bow-out never is.
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

// tied reports whether neither of two priorities beats the other.
func tied(theirs, mine Priority, aware bool) bool {
	return theirs.micros() == mine.micros() && (!aware || theirs.Demote == mine.Demote)
}

// worst is a priority to which everything is superior that is superior to a or to b.
func worst(a, b Priority) Priority {
	w := a
	if b.micros() > a.micros() {
		w = b
	}
	w.Demote = max(a.Demote, b.Demote)
	return w
}

// Effective is what a group of this configuration states under a sum of demotions:
// clamp(advskew+sum, 0, 240), with advbase 0 at least 1, and the demote byte.
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
