// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"hash/fnv"
	"time"

	"vipd/agent/election"
	"vipd/agent/view"
)

const (
	// MinGap is the least time between two hellos of a group to one peer.
	MinGap = time.Second
	// slack is by how much sooner the answers to hellos a second apart may follow each other: those may have travelled
	// for different times.
	slack = 100 * time.Millisecond
	// perPeriod is how many groups of an interface report to one MASTER within a [view.HelloPeriod]. A hello costs both
	// nodes as much as several adverts, and any of them says that the node lives.
	perPeriod = 16
)

// Period returns how often each group reports if so many of one interface do to one MASTER.
func Period(groups int) time.Duration {
	period := view.HelloPeriod
	for most := perPeriod; most < groups; most *= 2 {
		period *= 2
	}
	return period
}

// Due returns when the next hello of a group is due, if the last one left at a time, 0 for never, and whether what it
// would say has changed since: now, a second after the last one, or at the group's own phase of the period. It is never
// more than a second later than the period.
func Due(last, now election.Instant, changed bool, phase Phase, period time.Duration) election.Instant {
	if last == 0 {
		return now
	}
	soonest := last.Add(MinGap)
	if changed {
		return max(now, soonest)
	}
	wait := (phase.of(period) - time.Duration(soonest)%period + period) % period
	return soonest.Add(wait)
}

// Phase is the moment in the period when a group of a node reports, in 2^-32 of it.
type Phase uint32

// PhaseOf returns another one for each group and node, so that the hellos of many groups, and those of many nodes to
// one MASTER, are spread over the period.
func PhaseOf(node, group string) Phase {
	h := fnv.New64a()
	for _, s := range []string{node, "\x00", group} {
		h.Write([]byte(s))
	}
	x := h.Sum64()
	x = (x ^ x>>33) * 0xff51afd7ed558ccd // the last letters differ, and FNV hardly mixes them (MurmurHash3)
	return Phase(x >> 32)
}

// of returns the moment in a period of at most an hour.
func (p Phase) of(period time.Duration) time.Duration {
	return time.Duration(uint64(p)*uint64(period/time.Microsecond)>>32) * time.Microsecond
}

// NoRoom reports whether the kernel refuses new sources without a trailer, since it had no room for a vipd node at a
// time, 0 for never. memory is peer_memory of the config.
func NoRoom(missedAt int64, now election.Instant, memory time.Duration) bool {
	return missedAt != 0 && (memory == 0 || now.Sub(election.Instant(missedAt)) < memory)
}
