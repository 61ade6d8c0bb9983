// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"time"

	"vipd/agent/election"
)

const (
	minWait = time.Second
	maxWait = time.Minute
)

// Watch decides when a group that could not reach every destination counts as whole again: at
// once if it never was whole, as when an interface starts, otherwise after a second that doubles
// with each further loss, so that a flapping family moves no address.
type Watch struct {
	reach election.Reach // in effect
	since election.Instant
	whole bool // every destination is reached, since then
	ever  bool
	wait  time.Duration
}

// Note takes the current result and returns the one in effect.
func (w *Watch) Note(now election.Instant, found election.Reach) election.Reach {
	switch {
	case found.Impaired:
		if w.ever && !w.reach.Impaired {
			if now.Sub(w.since) > maxWait {
				w.wait = 0
			}
			w.wait = min(max(2*w.wait, minWait), maxWait)
		}
		w.reach, w.whole = found, false
	case !w.whole:
		w.whole, w.since = true, now
		w.reach.Mute = false
	}
	if w.whole && now.Sub(w.since) >= w.wait {
		w.reach, w.ever = election.Reach{}, true
	}
	return w.reach
}
