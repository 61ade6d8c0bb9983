// SPDX-License-Identifier: Apache-2.0

package election

import "time"

// Machine is the election of one group on one node. Create it with New or Adopt. It is not safe for concurrent use.
type Machine struct {
	cfg       Config
	demotion  int
	effective Priority // what the next advert states
	now       Instant

	condition
	restraints
	received
	handover handover
	reach    Reach
	pace     Instant // spaces extra adverts, also across terms as MASTER

	backup backup
	master master
}

// condition is the state and how the machine got there.
type condition struct {
	state      State
	phase      phase
	reason     Reason
	since      Instant
	generation uint64
	extensions int     // how often a late decision was postponed
	late       Instant // T0 of the last advert before the term as MASTER ended because this node was late; 0 = it did not
}

// restraints are what delays or prevents a takeover.
type restraints struct {
	started    Instant       // Config.PreemptDelay counts from here
	watched    Instant       // when the group last left INIT
	sight      time.Duration // Tick.Watched of the last one
	blindUntil Instant       // until then silence is not evidence
	awaiting   Instant       // waits for verdicts of checks until then; see AwaitChecks
	delay      claimDelay
	hold       hold
	failures   failures
}

// received is what is known about the adverts of other nodes.
type received struct {
	heard    Advert // the newest one, in any state
	known    bool   // heard is valid
	speakers speakers
	families [2]LastAdvert
	rhythm   time.Duration // interval of the newest advert except goodbyes; 0 = none yet
	inRhythm bool          // it was heard since BACKUP began

	heardBeat time.Duration // of the same advert
	missed    missed
	doubt     doubt
	ended     ended
}

// New returns a Machine in INIT with reason startup. generation is the highest one that the group has used in the
// data plane; the first promotion uses the next.
func New(cfg Config, at Instant, generation uint64) *Machine {
	m := &Machine{
		cfg: cfg.normal(), now: at,
		condition:  condition{state: Init, reason: ReasonStartup, since: at, generation: generation},
		restraints: restraints{started: at, watched: at},
	}
	m.effective = m.priority()
	m.startClaimDelay()
	return m
}

// Step passes an event and the present time to the machine and appends the actions to out. A time before that of
// an earlier call counts as the latest so far.
func (m *Machine) Step(at Instant, ev Event, out []Action) []Action {
	m.now = max(m.now, at)
	switch ev := ev.(type) {
	case Up:
		return m.up(ev.Reason, out)
	case Down:
		return m.down(ev.Reason, out)
	case Advert:
		return m.advert(ev, out)
	case Yielded:
		return m.yielded(ev.Generation, out)
	case Tick:
		m.blind(ev.Blind)
		m.sight = ev.Watched
		return m.tick(out)
	case Sending:
		return m.sending(out)
	case Sent:
		return m.sent(ev, out)
	case Demotion:
		m.demotion = min(max(ev.Total, -demotionLimit), demotionLimit)
		m.effective = m.priority()
		return m.restate(out)
	case HandOver:
		return m.handOver(ev, out)
	case Stay:
		return m.stay(out)
	case Release:
		return m.release(ev.Reason, out)
	case AwaitChecks:
		m.awaiting = ev.Until
	case Restore:
		m.restore(ev.Kept)
	case Reach:
		return m.reached(ev, out)
	case Reconfigure:
		return m.reconfigure(ev.normal(), out)
	}
	return out
}

// Deadline returns when the next Tick is due, which may be in the past. It returns false if only another event can
// change anything.
func (m *Machine) Deadline() (Instant, bool) {
	at, why := m.next()
	return at, why != WaitNone
}

// Slice returns how much sooner than at its deadline a Tick also sends the regular advert that is due then, so that the
// adverts of many groups leave together. Everything else waits for the deadline.
func (m *Machine) Slice() time.Duration {
	if _, why := m.next(); why != WaitAdvert {
		return 0
	}
	return m.slice()
}

func (m *Machine) up(reason Reason, out []Action) []Action {
	if m.state != Init {
		return out
	}
	m.watched = m.now
	if reason == ReasonStartup {
		m.started = m.now
	}
	if reason == ReasonStartup || reason == ReasonLinkUp {
		m.startClaimDelay()
	}
	m.await(m.now, 0)
	out = append(out, SetRole{State: Backup, Generation: m.generation})
	return m.enter(Backup, reason, nil, m.now, out)
}

func (m *Machine) down(reason Reason, out []Action) []Action {
	switch {
	case m.state == Init:
		m.restamp(reason)
		return out
	case m.phase == phaseLeaving || m.phase == phaseEnding:
		return m.released(nil, m.now, out)
	default:
		return m.toInit(reason, nil, m.now, out)
	}
}

func (m *Machine) tick(out []Action) []Action {
	switch m.state {
	case Backup:
		return m.tickBackup(out)
	case Master:
		return m.tickMaster(out)
	default:
		return out
	}
}

// advert stores a received advert and, as MASTER, yields to a superior one.
func (m *Machine) advert(a Advert, out []Action) []Action {
	a.At = min(a.At, m.now) // the two clocks may be read in the wrong order
	newest := !m.known || a.At >= m.heard.At
	var before *Advert
	if last, known := m.noteSpeaker(a); known {
		before = &last
	}
	if newest {
		m.doubt.watch(a, m.heard)
		m.heard, m.known = a, true
		m.heard.Withheld = false
		m.noteRhythm(a)
	}
	m.noteFamily(a)
	m.noteAlive(a)
	m.noteEnded(a, before)
	switch m.state {
	case Backup:
		if newest {
			m.evidence(a, before)
		}
	case Master:
		return m.challenge(a, out)
	case Init: // nothing to decide
	}
	return out
}

func (m *Machine) reconfigure(cfg Config, out []Action) []Action {
	delayed := m.cfg.ClaimDelay != cfg.ClaimDelay
	m.cfg = cfg
	m.pace = min(m.pace, m.now.Add(sendBurst*cfg.spacing())) // counted with the old spacing
	m.effective = m.priority()
	// A tie delay for a longer interval could be longer than the master's present interval.
	m.backup.tie = min(m.backup.tie, m.tieRange(m.heard)/2)
	if m.state == Backup && delayed {
		m.rearm()
	}
	return m.restate(out)
}

// toInit leaves BACKUP or MASTER for INIT, first in the kernel.
func (m *Machine) toInit(reason Reason, cause *Advert, due Instant, out []Action) []Action {
	out = append(out, SetRole{State: Init, Generation: m.generation})
	if m.state == Master {
		out = append(out, RemoveVIPs{})
	}
	return m.enter(Init, reason, cause, due, out)
}

// enter changes the state. The actions that fence the change are already in out.
func (m *Machine) enter(to State, reason Reason, cause *Advert, due Instant, out []Action) []Action {
	from := m.state
	m.state, m.extensions = to, 0
	m.restamp(reason)
	out = append(out, Transition{
		From: from, To: to, Reason: reason, At: m.now, Cause: cause,
		Lag: max(m.now.Sub(due), 0),
	})
	switch to {
	case Master:
		m.hold = hold{}
		return out
	case Init:
		m.failures = failures{} // a new link or start follows
		m.missed = missed{}     // nor is it known what a master did meanwhile
	case Backup:
	}
	m.late = 0
	if reason == ReasonLeaseExpired {
		m.late = m.master.lastSent
	}
	out = m.endHandover(to, reason, cause, out)
	m.phase = phaseNone
	m.master = master{}
	m.effective = m.priority() // partial sends of the MASTER no longer count
	return out
}

func (m *Machine) restamp(reason Reason) {
	m.reason, m.since = reason, m.now
}
