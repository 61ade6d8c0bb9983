// SPDX-License-Identifier: Apache-2.0

package election

import (
	"net/netip"
	"time"
)

// Hold is why a group does not preempt.
type Hold uint8

// Reasons against preemption.
const (
	HoldNone       Hold = iota
	HoldStartup         // Config.PreemptDelay since the start is not over
	HoldYield           // the operator handed the group over to the present master
	HoldSendFailed      // the last advert could not be sent: another attempt would not help
	HoldChecks          // a health check has no verdict yet; see AwaitChecks
	HoldClaimDelay      // Config.ClaimDelay since the start or last link up is not over: no claim at all
)

// String returns the name in JSON.
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
	case HoldChecks:
		return "checks"
	case HoldClaimDelay:
		return "claim_delay"
	default:
		return "invalid"
	}
}

const (
	// yieldHold is how long a successor is not preempted at most.
	yieldHold = 10 * time.Minute
	// maxFailureHold is how long a node whose sends fail does not preempt at most.
	maxFailureHold = time.Minute
)

// failures prevents a node whose adverts cannot be sent from claiming again, with addresses and hooks, at every
// advert of a worse master: for an interval, and twice as long after each failure, until a send succeeds. Takeovers
// after silence or a goodbye do not wait for that; see awaitAgain.
type failures struct {
	until Instant
	wait  time.Duration
}

func (m *Machine) noteSendFailed() {
	f := &m.failures
	f.wait = min(max(2*f.wait, m.cfg.interval()), maxFailureHold)
	f.until = m.now.Add(f.wait)
}

// hold is the successor of a handover: this node does not preempt it until it is silent, says goodbye, or the time is
// up.
type hold struct {
	until   Instant // 0 = no hold
	masters [2]netip.Addr
	said    Priority // in its last advert
	heardAt Instant
}

// holdFor begins the hold after a handover. If the advert that ended it is not known, the next one identifies the
// master.
func (m *Machine) holdFor(cause *Advert) {
	m.hold = hold{until: m.now.Add(yieldHold), heardAt: m.now}
	if cause != nil {
		m.hold.note(*cause)
	}
}

// note follows the master's adverts. In the other family it has another address and is recognised by the same
// priority.
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

// held returns what prevents preemption now, and until when at most.
func (m *Machine) held() (Hold, Instant) {
	h := &m.hold
	if end := m.claimDelayEnd(); end > 0 {
		return HoldClaimDelay, end
	}
	if m.now < m.failures.until {
		return HoldSendFailed, m.failures.until
	}
	if m.now < h.until && m.now.Sub(max(h.heardAt, m.backup.from)) <= m.downTime() {
		return HoldYield, h.until
	}
	if m.now < m.awaiting {
		return HoldChecks, m.awaiting
	}
	if end := m.started.Add(m.cfg.PreemptDelay); m.now < end {
		return HoldStartup, end
	}
	return HoldNone, 0
}

// claimDelay is the time after a start or link up in which the group makes no claim: the switch port may not forward
// yet (STP listening and learning), so that neither silence nor a worse master is evidence. Only an owner that was
// heard since then can be known to leave or die.
type claimDelay struct {
	on    bool // Config.ClaimDelay counts from since
	since Instant
	heard bool // an owner was heard since
}

// startClaimDelay starts the time of Config.ClaimDelay.
func (m *Machine) startClaimDelay() {
	m.delay = claimDelay{on: true, since: m.now}
}

// claimDelayEnd returns when the claim delay ends; 0 if none is running.
func (m *Machine) claimDelayEnd() Instant {
	s := &m.delay
	if !s.on || m.cfg.ClaimDelay == 0 {
		return 0
	}
	end := s.since.Add(m.cfg.ClaimDelay)
	if m.now >= end {
		return 0
	}
	return end
}

// silenceCounts returns when silence is evidence at the earliest; 0 if the master-down time alone decides. An owner
// that was heard on this link is dead after that time; one that was never heard may exist. Nodes that start together
// claim in the order of their skews, as without a delay.
func (m *Machine) silenceCounts() Instant {
	if s := &m.delay; !s.on || s.heard || m.cfg.ClaimDelay == 0 {
		return 0
	}
	offset := m.rank(time.Second)
	if m.cfg.AdvBase > 0 {
		offset = time.Duration(Priority{AdvSkew: m.cfg.AdvSkew}.micros()) * time.Microsecond
	}
	return m.delay.since.Add(m.cfg.ClaimDelay + offset)
}

// Kept is the part of the holds that outlives the process. The zero value holds nothing. Values are comparable.
type Kept struct {
	YieldUntil Instant       // HoldYield ends then; 0 = there is none
	Successor  [2]netip.Addr // of the handover, by family; invalid = not known yet
	Said       Priority      // in the successor's last advert

	FailUntil Instant       // HoldSendFailed ends then; 0 = there is none
	FailWait  time.Duration // length of the present hold; the next is twice as long
}

// Restore passes the Kept of an earlier process to the machine, before Up or after Adopt. A MASTER ignores it.
type Restore struct{ Kept }

// AwaitChecks means that health checks have no verdict yet: the group does not preempt until then at most. 0 means that
// all have one. The Demotion that they cause comes before.
type AwaitChecks struct{ Until Instant }

func (Restore) event()     {}
func (AwaitChecks) event() {}

// Kept returns the state to pass to the next process with Restore.
func (m *Machine) Kept() Kept {
	var k Kept
	if h := &m.hold; h.until > 0 {
		k.YieldUntil, k.Successor, k.Said = h.until, h.masters, h.said
	}
	if f := &m.failures; f.wait > 0 {
		k.FailUntil, k.FailWait = f.until, f.wait
	}
	return k
}

// restore continues the holds of an earlier process. No hold lasts longer than one that begins now, since the values
// may come from a damaged file.
func (m *Machine) restore(k Kept) {
	if m.state == Master {
		return
	}
	if m.now < k.YieldUntil {
		m.hold = hold{
			until: min(k.YieldUntil, m.now.Add(yieldHold)), masters: k.Successor, said: k.Said, heardAt: m.now,
		}
	}
	if wait := min(k.FailWait, maxFailureHold); wait > 0 && m.now < k.FailUntil.Add(maxFailureHold) {
		m.failures = failures{until: min(k.FailUntil, m.now.Add(wait)), wait: wait}
	}
}
