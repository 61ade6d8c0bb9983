// SPDX-License-Identifier: Apache-2.0

package election

import "time"

// Config is the part of a group's configuration that the machine uses. The zero value is valid: advbase 0,
// advskew 1, no preemption, dead ratio 3.
type Config struct {
	NodeName   string  // breaks ties, with the peer's address
	AdvBase    uint8   // seconds, 0..254
	AdvSkew    uint8   // 1/256 s, 0..254; at most 240 is advertised, as by FreeBSD
	Preempt    bool    // a better node takes over from a living master
	DeadRatio  float64 // 1..3, the lease in units of advbase; 0 means 3
	SendDemote bool    // fill OpenBSD's demote byte

	MasterDown DownRule // rule for the master-down time; not used with advbase 0
	// PreemptDelay is the time after the start without preemption. A dead or leaving master is replaced.
	PreemptDelay time.Duration
	// ClaimDelay is the time after a start or link up without any claim, unless an owner that was heard
	// since then leaves or dies.
	ClaimDelay time.Duration
	DualStack  bool // a master advertises in both families, so that a silent family is reported

	// Beat is how often a MASTER advertises instead of once per interval; 0 = no beat. The trailer states it, and vipd
	// peers count in beats. It is shorter than the interval, MinBeat to MaxBeat.
	Beat time.Duration

	// Stagger is how much sooner than usual the adverts of a new MASTER leave, all together. It spreads those of many
	// groups over the interval if it differs between them: a BACKUP has as long for its claims as their adverts were
	// spread.
	Stagger time.Duration
}

// The range of Config.Beat. A trailer has 15 bits for the microseconds, and a claim states one more.
const (
	MinBeat = time.Millisecond
	MaxBeat = 32766 * time.Microsecond
)

// DownRule is the rule for the master-down time.
type DownRule uint8

// The rules of the BSDs.
const (
	DownFreeBSD DownRule = iota // 3*advbase + advskew/256, also NetBSD, ucarp and OpenBSD of 2015
	DownOpenBSD                 // 3*(advbase + advskew/256), current OpenBSD
)

const (
	minDeadRatio = 1
	maxDeadRatio = 3
	maxBase      = GoodbyeValue - 1
)

// normal returns c with every value in its range. The parser of the configuration refuses bad values with a
// message; here they only must do no harm.
func (c Config) normal() Config {
	c.AdvBase = min(c.AdvBase, maxBase)
	c.AdvSkew = min(c.AdvSkew, maxBase)
	if c.AdvBase == 0 {
		c.AdvSkew = max(c.AdvSkew, 1)
	}
	c.PreemptDelay, c.ClaimDelay, c.Stagger = max(c.PreemptDelay, 0), max(c.ClaimDelay, 0), max(c.Stagger, 0)
	c.Beat = c.Beat.Truncate(beatStep)
	if c.Beat < MinBeat || c.Beat > MaxBeat || c.Beat >= c.interval() {
		c.Beat = 0
	}
	switch {
	case c.DeadRatio >= minDeadRatio && c.DeadRatio <= maxDeadRatio:
	case c.DeadRatio > 0 && c.DeadRatio < minDeadRatio:
		c.DeadRatio = minDeadRatio
	default: // unset, NaN, or a lease longer than a peer waits
		c.DeadRatio = maxDeadRatio
	}
	return c
}
