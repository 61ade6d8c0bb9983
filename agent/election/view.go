// SPDX-License-Identifier: Apache-2.0

package election

import (
	"net/netip"
	"time"
)

// Wait is the purpose of the next deadline.
type Wait uint8

// Purposes of a deadline.
const (
	WaitNone         Wait = iota // none: only an event changes anything
	WaitMasterDown               // BACKUP: the master counts as down
	WaitDecision                 // BACKUP: an advert awaits a decision
	WaitExtension                // a postponed decision
	WaitClaim                    // MASTER: the outcome of the first advert
	WaitAdvert                   // MASTER: the next advert
	WaitRetry                    // MASTER: the retry of a failed send
	WaitLease                    // MASTER: the lease ends
	WaitResume                   // MASTER with an expired lease: claim again
	WaitHandover                 // MASTER, leaving: no successor is expected after it
	WaitAnnouncement             // MASTER: another master fell silent
	WaitClaimDelay               // BACKUP: no owner was heard, and Config.ClaimDelay is not over
	WaitBeats                    // BACKUP: from then on each of the beats that are in doubt must be heard
)

// String returns the purpose in words.
func (w Wait) String() string {
	if w > WaitBeats {
		return "invalid"
	}
	return [...]string{
		"nothing", "master down", "decision", "extension", "claim", "advert",
		"retry", "lease end", "resume", "handover", "announcement", "claim delay", "beats",
	}[w]
}

// View is a copy of a machine's state, for status and tests. Views are comparable.
type View struct {
	State      State
	Reason     Reason  // of the present state
	Since      Instant // of State, or of Reason while in INIT
	Generation uint64
	Effective  Priority
	Beat       time.Duration // stated by the next advert of a MASTER; 0 = no beat
	Permit
	Progress
	Received
	Distrust
	Extensions int // how often a late decision was postponed

	DownTime  time.Duration // how long BACKUP waits for an advert
	Hold      Hold          // BACKUP: why it does not preempt now
	HoldUntil Instant       // and until when at most

	Next    Instant // as Deadline; invalid if Waiting is WaitNone
	Waiting Wait
}

// Permit is what the data plane of a MASTER holds.
type Permit struct {
	Lease     Instant // answers until then; 0 = no lease
	SendUntil Instant // may advertise until then without a lease
	Compared  Priority
}

// Progress is what a MASTER is doing.
type Progress struct {
	Claiming    bool // before its first lease or resuming
	Expired     bool // the lease has expired; nothing is sent
	Leaving     bool // during a Release
	HandingOver bool // during a HandOver
	Failing     bool // the last send failed
	Impaired    bool // in any state: some families or peers cannot be reached
	Offering    bool // impaired: offers the group to a node that is not
}

// Received is what was heard of other nodes, in any state.
type Received struct {
	Master Advert // the newest advert; see Heard
	Heard  bool   // Master is valid

	IPv4, IPv6 LastAdvert // by family
	Silent     Family     // not heard while the other family is; only with Config.DualStack
}

// Distrust is whether missing beats proved harmless: this node had claimed, and then heard that the other was alive.
// Meanwhile it waits for longer, see DownTime.
type Distrust struct {
	Distrusted    netip.Addr // the other node; invalid if beats are counted as they are stated
	DistrustUntil Instant    // at the earliest: they have to be steady
	DistrustTimes int        // how often in succession
	// BeatsEnded is when the present master's adverts stopped stating a beat; 0 if they never did, or do again.
	BeatsEnded Instant
}

// HeardAgain returns the view as if the machine had heard a, a repetition that the kernel withheld until now.
func (v View) HeardAgain(a Advert) View {
	f := &v.IPv4
	if FamilyOf(a.Src) == IPv6 {
		f = &v.IPv6
	}
	f.At = max(f.At, a.At)
	if v.Silent == FamilyOf(a.Src) {
		v.Silent = FamilyNone
	}
	if a.At <= v.Master.At {
		return v
	}
	if v.Waiting == WaitMasterDown {
		v.Next = v.Next.Add(a.At.Sub(v.Master.At))
	}
	v.Master, v.Master.Withheld = a, false
	return v
}

// Renewed returns the view of a MASTER as if it had renewed its lease by a regular advert.
func (v View) Renewed(lease Instant) View {
	v.Next = v.Next.Add(lease.Sub(v.Lease))
	v.Lease = lease
	return v
}

// State returns the present state alone, which costs nothing.
func (m *Machine) State() State { return m.state }

// View returns the present state of m.
func (m *Machine) View() View {
	v := View{
		State: m.state, Reason: m.reason, Since: m.since, Generation: m.generation,
		Effective: m.effective, Extensions: m.extensions, DownTime: m.downTime(),
		Permit: Permit{m.master.lease, m.master.sendUntil, m.master.recorded},
		Progress: Progress{
			Claiming:    m.phase == phaseClaiming,
			Expired:     m.phase == phaseExpired,
			Leaving:     m.phase == phaseLeaving,
			HandingOver: m.handover.on && !m.handover.auto,
			Failing:     m.master.failing,
			Impaired:    m.impaired(),
			Offering:    m.handover.auto,
		},
		Received: Received{m.heard, m.known, m.families[0], m.families[1], m.silent()},
		Distrust: m.distrust(),
	}
	if m.state == Master {
		v.Beat = m.beat()
	}
	if m.state == Backup {
		v.Hold, v.HoldUntil = m.held()
	}
	v.Next, v.Waiting = m.next()
	return v
}

// next returns the next deadline and its purpose.
func (m *Machine) next() (Instant, Wait) {
	switch m.state {
	case Backup:
		return m.nextBackup()
	case Master:
		return m.nextMaster()
	default:
		return 0, WaitNone
	}
}

func (m *Machine) nextBackup() (Instant, Wait) {
	b := &m.backup
	switch {
	case b.extended:
		return b.again, WaitExtension
	case b.pending:
		return max(m.now, m.decideAt()), WaitDecision
	case b.due == m.silenceCounts():
		return b.due, WaitClaimDelay
	}
	if at := m.doubt.watchAt(); m.doubted() && m.now < at && at < b.due {
		return at, WaitBeats
	}
	return b.due, WaitMasterDown
}

func (m *Machine) nextMaster() (Instant, Wait) {
	s := &m.master
	switch m.phase {
	case phaseClaiming:
		return s.sendUntil, WaitClaim
	case phaseExpired:
		return s.resumeAt, WaitResume
	case phaseGoodbye:
		if !s.saidGoodbye && s.nextSend < m.handover.until {
			return s.nextSend, WaitRetry
		}
		return m.handover.until, WaitHandover
	case phaseLeaving:
		if !s.saidGoodbye && s.nextSend < s.leaveAt {
			return s.nextSend, WaitRetry
		}
		return s.leaveAt, WaitHandover
	default:
		return m.nextOwning()
	}
}

func (m *Machine) nextOwning() (Instant, Wait) {
	s := &m.master
	at, why := s.nextSend, WaitAdvert
	if s.failing {
		why = WaitRetry
	}
	if s.lease < at {
		at, why = s.lease, WaitLease
	}
	if gone := m.rivalGone(); s.rival && gone < at {
		at, why = gone, WaitAnnouncement
	}
	return at, why
}
