// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"sync"
	"time"
)

// Attaching in native mode resets the queues of many NICs, and the link is down for a moment. So it is not done while a
// group on the NIC is MASTER: tc ingress serves meanwhile. A link that goes down then has not failed.

// errMaster means that native mode has to wait.
var errMaster = errors.New("native mode waits until no group on the NIC is MASTER: attaching may take its link down")

// resetTakes is how long a link may stay down after programs were attached or detached: autonegotiation takes seconds.
const resetTakes = 10 * time.Second

// resets is when NICs were reset. It has a lock of its own: the election asks while an interface is being attached.
type resets struct {
	mu    sync.Mutex
	until map[int]time.Duration // see sinceBoot, by interface index
}

// note notes a reset of a NIC that begins or has ended now.
func (r *resets) note(nic int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.until[nic] = sinceBoot() + resetTakes
}

// UseMasters sets what reports whether a group on any of the interfaces is MASTER. Call it before anything else.
func (h *Hooks) UseMasters(masters func(ifindexes []int) bool) { h.masters = masters }

// Resetting reports whether the link of an interface may be down only because programs were attached in native mode, or
// detached, a moment ago.
func (h *Hooks) Resetting(ifindex int) bool {
	nic := nicOf(ifindex)
	h.resets.mu.Lock()
	defer h.resets.mu.Unlock()
	until, ok := h.resets.until[nic]
	if ok && sinceBoot() >= until {
		delete(h.resets.until, nic)
		return false
	}
	return ok
}

// nicOf returns the interface below all tags.
func nicOf(ifindex int) int {
	if v, err := vlanOf(ifindex); err == nil {
		return v.parent
	}
	return ifindex
}

// mayReset returns errMaster while a group on the NIC is MASTER, on a VLAN too.
func (h *Hooks) mayReset(nic int) error {
	on := []int{nic}
	for ifindex := range h.attached {
		if ifindex != nic && nicOf(ifindex) == nic {
			on = append(on, ifindex)
		}
	}
	if h.masters(on) {
		return errMaster
	}
	return nil
}
