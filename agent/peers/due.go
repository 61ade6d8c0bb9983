// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"hash/fnv"
	"time"

	"vipd/agent/election"
)

const (
	// Period is how often a group reports.
	Period = 3 * time.Second
	// MinGap is the least time between two hellos of a group to one peer.
	MinGap = time.Second
	// slack is by how much sooner the answers to hellos a second apart may follow each other: those may have travelled
	// for different times.
	slack = 100 * time.Millisecond
)

// Due returns when the next hello of a group is due, if the last one left at a time, 0 for never, and whether what it
// would say has changed since: now, a second after the last one, or at the group's own phase of the period. It is never
// more than a second later than the period.
func Due(last, now election.Instant, changed bool, phase time.Duration) election.Instant {
	if last == 0 {
		return now
	}
	soonest := last.Add(MinGap)
	if changed {
		return max(now, soonest)
	}
	wait := (phase - time.Duration(soonest)%Period + Period) % Period
	return soonest.Add(wait)
}

// Phase returns the moment in the period when a group of a node reports: another one for each, so that the hellos of
// many groups, and those of many nodes to one MASTER, are spread over it.
func Phase(node, group string) time.Duration {
	h := fnv.New64a()
	for _, s := range []string{node, "\x00", group} {
		h.Write([]byte(s))
	}
	x := h.Sum64()
	x = (x ^ x>>33) * 0xff51afd7ed558ccd // the last letters differ, and FNV hardly mixes them (MurmurHash3)
	return time.Duration((x ^ x>>33) % uint64(Period))
}

// NoRoom reports whether the kernel refuses new sources without a trailer, since it had no room for a vipd node at a
// time, 0 for never. memory is peer_memory of the config.
func NoRoom(missedAt int64, now election.Instant, memory time.Duration) bool {
	return missedAt != 0 && (memory == 0 || now.Sub(election.Instant(missedAt)) < memory)
}
