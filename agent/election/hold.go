// SPDX-License-Identifier: Apache-2.0

package election

import (
	"net/netip"
	"time"
)

// Hold says why a group does not preempt although it might.
type Hold uint8

// What keeps a group from preempting.
const (
	HoldNone       Hold = iota
	HoldStartup         // Config.PreemptDelay since the start is not over
	HoldYield           // the operator handed the group to the master there is
	HoldSendFailed      // our last advert could not be sent: nobody gains by another try
)

// String is for people.
func (h Hold) String() string {
	switch h {
	case HoldNone:
		return "none"
	case HoldStartup:
		return "startup"
	case HoldYield:
		return "yield"
	case HoldSendFailed:
		return "send_failed"
	default:
		return "invalid"
	}
}

const (
	// yieldHold is how long a successor is left in peace at most.
	yieldHold = 10 * time.Minute
	// maxFailureHold is how long a living master is at most, by a node whose sends fail.
	maxFailureHold = time.Minute
)

// failures keeps a node whose adverts cannot be sent from trying again, addresses and
// hooks and all, on every advert of a worse master: for an interval, and then for twice
// as long each time, until one could be sent. Nobody else's silence or goodbye waits.
type failures struct {
	until Instant
	wait  time.Duration
}

func (m *Machine) sendsFail() {
	f := &m.failures
	f.wait = min(max(2*f.wait, m.cfg.interval()), maxFailureHold)
	f.until = m.now.Add(f.wait)
}

// hold remembers to whom the group was handed over: it is not taken back until that
// master falls silent or says goodbye, or time is up.
type hold struct {
	until   Instant // 0 = no hold
	masters [2]netip.Addr
	said    Priority // by it, last
	heardAt Instant
}

// holdFor begins the hold after a handover. If the advert is not known that ended it,
// the next one names the master.
func (m *Machine) holdFor(cause *Advert) {
	m.hold = hold{until: m.now.Add(yieldHold), heardAt: m.now}
	if cause != nil {
		m.hold.note(*cause)
	}
}

// note keeps track of the master. Its other family has another address; it is known by
// stating the same priority.
func (h *hold) note(a Advert) {
	if h.until == 0 {
		return
	}
	f := FamilyOf(a.Src) - IPv4
	switch known := h.masters[f]; {
	case known == a.Src:
	case known.IsValid(), h.masters[1-f].IsValid() && a.Priority != h.said:
		return
	default:
		h.masters[f] = a.Src
	}
	if a.Goodbye() {
		*h = hold{}
		return
	}
	h.said, h.heardAt = a.Priority, max(h.heardAt, a.At)
}

// held is what keeps the group from preempting now, and until when at most.
func (m *Machine) held() (Hold, Instant) {
	h := &m.hold
	if m.now < m.failures.until {
		return HoldSendFailed, m.failures.until
	}
	if m.now < h.until && m.now.Sub(max(h.heardAt, m.backup.from)) <= m.downTime() {
		return HoldYield, h.until
	}
	if end := m.started.Add(m.cfg.PreemptDelay); m.now < end {
		return HoldStartup, end
	}
	return HoldNone, 0
}
