// SPDX-License-Identifier: Apache-2.0

package election

import "time"

// Wait says what the next deadline is for.
type Wait uint8

// What a machine waits for.
const (
	WaitNone         Wait = iota // nothing: only an event changes anything
	WaitMasterDown               // BACKUP: the master counts as down
	WaitDecision                 // BACKUP: an advert was heard and not decided on
	WaitExtension                // a late decision is looked at again
	WaitClaim                    // MASTER: the outcome of the first advert
	WaitAdvert                   // MASTER: the next advert
	WaitRetry                    // MASTER: the next try of a failed send
	WaitLease                    // MASTER: the lease ends
	WaitResume                   // MASTER with an expired lease: claim again
	WaitHandover                 // MASTER, leaving: no successor will come
	WaitAnnouncement             // MASTER: a foreign master fell silent
)

// String is for people.
func (w Wait) String() string {
	if w > WaitAnnouncement {
		return "invalid"
	}
	return [...]string{
		"nothing", "master down", "decision", "extension", "claim", "advert",
		"retry", "lease end", "resume", "handover", "announcement",
	}[w]
}

// View is a copy of what a machine knows, for status and tests. Views are comparable.
type View struct {
	State      State
	Reason     Reason  // why it is in this state
	Since      Instant // of State, or of Reason while in INIT
	Generation uint64
	Lease      Instant // MASTER: speaks until then; 0 = no lease
	SendUntil  Instant // MASTER: may advertise until then without a lease
	Effective  Priority
	Recorded   Priority // MASTER: what the data plane compares with

	Master Advert // the newest foreign advert, in any state; see Heard
	Heard  bool   // Master is one

	Claiming   bool // MASTER, before its first lease or resuming
	Expired    bool // MASTER with a lease that ended; nothing is sent
	Leaving    bool // MASTER, in a planned handover that ends in INIT
	Yielding   bool // MASTER, asking for a successor; see Yield
	Failing    bool // MASTER, the last send failed
	Extensions int  // how often a late decision was put off

	DownTime  time.Duration // how long BACKUP waits for an advert
	Hold      Hold          // BACKUP: why it does not preempt now, whatever is configured
	HoldUntil Instant       // and until when at most

	IPv4, IPv6 LastAdvert // of each family, foreign
	Silent     Family     // not heard for a master-down time, while the other one is; only with Config.DualStack

	Next    Instant // as Deadline; meaningless if Waiting is WaitNone
	Waiting Wait
}

// View is the present state of m.
func (m *Machine) View() View {
	v := View{
		State: m.state, Reason: m.reason, Since: m.since, Generation: m.generation,
		Lease: m.master.lease, SendUntil: m.master.sendUntil,
		Effective: m.effective, Recorded: m.master.recorded,
		Master: m.heard, Heard: m.known,
		Claiming: m.phase == phaseClaiming, Expired: m.phase == phaseExpired,
		Leaving: m.phase == phaseLeaving, Failing: m.master.failing,
		Yielding: m.handover.on, Extensions: m.extensions, DownTime: m.downTime(),
		IPv4: m.families[0], IPv6: m.families[1], Silent: m.silent(),
	}
	if m.state == Backup {
		v.Hold, v.HoldUntil = m.held()
	}
	v.Next, v.Waiting = m.next()
	return v
}

// next is the next deadline and what it is for.
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
	default:
		return b.due, WaitMasterDown
	}
}

func (m *Machine) nextMaster() (Instant, Wait) {
	s := &m.master
	switch m.phase {
	case phaseClaiming:
		return s.sendUntil, WaitClaim
	case phaseExpired:
		return s.resumeAt, WaitResume
	case phaseBowed:
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
