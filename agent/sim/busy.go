// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"time"

	"vipd/agent/election"
)

// A loop that works for thousands of groups decides for each of them after others, and looks for adverts before each:
// it decides late, but has watched the clock (election.Tick). Where beats are counted, that does not excuse a late
// decision, and nodes with thousands of groups have no beats.

// busyFaults have their own stream, so that other runs do not change.
const busyFaults = FaultSet(1 << faultBusy)

// busy is since when the loop of a host has been at work without a pause, by its clock, and by how much it may be late
// for each group.
type busy struct {
	since election.Instant
	by    time.Duration // 0: it is not busy
}

// strikeBusy starts times of much work until the given time.
func (w *World) strikeBusy(until time.Duration) {
	if w.Faults&busyFaults == 0 || w.Beat > 0 {
		return
	}
	w.recur(w.busy, 4*w.Pace, until, w.beginBusy)
}

// beginBusy makes a host decide late for a time.
func (w *World) beginBusy() {
	f := &fault{kind: faultBusy}
	h := w.hosts[w.busy.below(len(w.hosts))]
	by := w.busy.between(time.Millisecond, oneOf(w.busy, 200*time.Millisecond, time.Second, 4*time.Second))
	duration := w.busy.between(0, 15*time.Second)
	if !h.up || h.peer != PeerNone || h.busy.by > 0 {
		return
	}
	h.busy = busy{since: h.clock.local(w.now), by: by}
	w.unwell(h)
	f.what = fmt.Sprintf("%s, by up to %v", h.name, by)
	f.end = func() {
		h.busy = busy{}
		w.unwell(h)
		w.revive(h)
	}
	w.started(f, duration)
}

// paused notes that the agent of a host has not run until now.
func (w *World) paused(h *host) { h.busy.since = h.clock.local(w.now) }

// behind draws how late the loop comes to a group. The adverts of owners go before what others decide.
func (w *World) behind(m *member) time.Duration {
	by := m.host.busy.by
	if by == 0 || m.machine.State() != election.Backup {
		return 0
	}
	return w.busy.between(0, by)
}

// watched returns for how long the loop of a host has looked for adverts without a pause.
func (w *World) watched(h *host) time.Duration {
	if h.busy.by == 0 || h.latency() > election.LongestBlink {
		return 0
	}
	return h.clock.local(w.now).Sub(h.busy.since)
}
