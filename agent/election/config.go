// SPDX-License-Identifier: Apache-2.0

package election

import "time"

// Config is what the machine needs to know of a group's configuration. The zero value
// works: advbase 0, advskew 1, no preemption, dead ratio 3.
type Config struct {
	NodeName   string  // breaks ties, with the peer's address
	AdvBase    uint8   // seconds, 0..254
	AdvSkew    uint8   // 1/256 s, 0..254; at most 240 is advertised, as FreeBSD
	Preempt    bool    // a better node takes over from a living master
	DeadRatio  float64 // 1..3, the lease in units of advbase; 0 means 3
	SendDemote bool    // fill OpenBSD's demote byte

	MasterDown   DownRule      // how long a silent master is waited for; not with advbase 0
	PreemptDelay time.Duration // no preempting for so long after the start; a dead or leaving master is replaced all the same
	DualStack    bool          // a master advertises in both families, so a silent one is worth a word
}

// DownRule is how the master-down time is reckoned from advbase and advskew.
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

// normal is c with every value in its range. The configuration's own parser refuses
// bad values with a message; the machine merely must not be harmed by them.
func (c Config) normal() Config {
	c.AdvBase = min(c.AdvBase, maxBase)
	c.AdvSkew = min(c.AdvSkew, maxBase)
	if c.AdvBase == 0 {
		c.AdvSkew = max(c.AdvSkew, 1)
	}
	c.PreemptDelay = max(c.PreemptDelay, 0)
	switch {
	case c.DeadRatio >= minDeadRatio && c.DeadRatio <= maxDeadRatio:
	case c.DeadRatio > 0 && c.DeadRatio < minDeadRatio:
		c.DeadRatio = minDeadRatio
	default: // unset, NaN, or a lease that outlives a peer's patience
		c.DeadRatio = maxDeadRatio
	}
	return c
}
