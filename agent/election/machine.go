// SPDX-License-Identifier: Apache-2.0

package election

import "time"

// Machine is the election of one group on one node. Use New. Not safe for concurrent use.
type Machine struct {
	cfg       Config
	demotion  int
	effective Priority // what the next advert states

	now        Instant
	state      State
	phase      phase
	reason     Reason
	since      Instant
	generation uint64

	started    Instant // Config.PreemptDelay counts from here
	watched    Instant // when the group last left INIT
	blindUntil Instant // until then silence is no evidence
	hold       hold
	failures   failures
	handover   handover

	heard      Advert // the newest foreign advert, in any state
	known      bool   // heard is one
	speakers   speakers
	extensions int // how often a late decision was put off
	families   [2]LastAdvert
	rhythm     time.Duration // interval of the newest advert that is no bow-out; 0 = none yet
	inRhythm   bool          // it was heard since listening began

	pace Instant // adverts out of turn are spaced by it, across terms as MASTER

	backup backup
	master master
}

// New makes a Machine in INIT, reason startup. generation is the highest one this group
// has used in the data plane; the first promotion is the next.
func New(cfg Config, at Instant, generation uint64) *Machine {
	m := &Machine{
		cfg: cfg.normal(), now: at, state: Init, reason: ReasonStartup,
		since: at, generation: generation, started: at, watched: at,
	}
	m.effective = m.priority()
	return m
}

// Step tells the machine that ev happened and that it is now at. It appends what to do
// to out. An at before that of an earlier call counts as the latest so far.
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
		return m.tick(out)
	case Sending:
		return m.sending(out)
	case Sent:
		return m.sent(ev, out)
	case Demotion:
		m.demotion = min(max(ev.Total, -demotionLimit), demotionLimit)
		m.effective = m.priority()
		return m.restate(out)
	case Yield:
		return m.handOver(ev, out)
	case Stay:
		return m.stay(out)
	case Release:
		return m.release(ev.Reason, out)
	case Reconfigure:
		return m.reconfigure(ev.normal(), out)
	}
	return out
}

// Deadline is when the machine next wants a Tick. It reports false when only an event
// can change anything. It may lie in the past: then a Tick is due at once.
func (m *Machine) Deadline() (Instant, bool) {
	at, why := m.next()
	return at, why != WaitNone
}

func (m *Machine) up(reason Reason, out []Action) []Action {
	if m.state != Init {
		return out
	}
	m.watched, m.failures = m.now, failures{}
	if reason == ReasonStartup {
		m.started = m.now
	}
	m.listen(m.now, 0)
	out = append(out, SetRole{State: Backup, Generation: m.generation})
	return m.enter(Backup, reason, nil, m.now, out)
}

func (m *Machine) down(reason Reason, out []Action) []Action {
	switch {
	case m.state == Init:
		m.restamp(reason)
		return out
	case m.phase == phaseLeaving:
		return m.released(nil, m.now, out)
	default:
		return m.retire(reason, nil, m.now, out)
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

// advert records what was heard and, while MASTER, yields to it.
func (m *Machine) advert(a Advert, out []Action) []Action {
	a.At = min(a.At, m.now) // two clocks read in the wrong order are no evidence from the future
	newest := !m.known || a.At >= m.heard.At
	before := m.noteSpeaker(a)
	if newest {
		m.heard, m.known = a, true
		m.keepTime(a)
	}
	m.noteFamily(a)
	switch m.state {
	case Backup:
		if newest {
			m.hear(a, before)
		}
	case Master:
		return m.challenge(a, out)
	case Init: // passes all checks, changes nothing
	}
	return out
}

func (m *Machine) reconfigure(cfg Config, out []Action) []Action {
	before := m.span(m.effective)
	m.cfg = cfg
	m.pace = min(m.pace, m.now.Add(sendBurst*cfg.spacing())) // owed by the old spacing
	m.effective = m.priority()
	// A lot drawn for a longer interval would outlast that of the master it is to preempt.
	m.backup.tie = min(m.backup.tie, m.tieRange(cfg.interval())/2)
	if m.state == Master {
		// Peers that have not heard the new values yet wait as the old ones said.
		m.master.cap = min(before, m.span(m.effective))
	}
	return m.restate(out)
}

// span is D for an advert stating p, see Config.span.
func (m *Machine) span(p Priority) time.Duration {
	d := m.cfg.span(p)
	if m.state == Master && m.master.cap > 0 {
		d = min(d, m.master.cap)
	}
	return d
}

// retire leaves BACKUP or MASTER for INIT. The kernel is told first.
func (m *Machine) retire(reason Reason, cause *Advert, due Instant, out []Action) []Action {
	out = append(out, SetRole{State: Init, Generation: m.generation})
	if m.state == Master {
		out = append(out, RemoveVIPs{})
	}
	return m.enter(Init, reason, cause, due, out)
}

// enter changes the state; what fences the change is in out already.
func (m *Machine) enter(to State, reason Reason, cause *Advert, due Instant, out []Action) []Action {
	from := m.state
	m.state, m.extensions = to, 0
	m.restamp(reason)
	out = append(out, Transition{
		From: from, To: to, Reason: reason, At: m.now, Cause: cause,
		Lag: max(m.now.Sub(due), 0),
	})
	if to == Master {
		m.hold = hold{}
		return out
	}
	out = m.endHandover(to, reason, cause, out)
	m.phase = phaseNone
	m.master = master{}
	return out
}

func (m *Machine) restamp(reason Reason) {
	m.reason, m.since = reason, m.now
}
