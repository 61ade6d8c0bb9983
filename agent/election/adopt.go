// SPDX-License-Identifier: Apache-2.0

package election

// Adopted is what an earlier process left in the data plane for a group.
type Adopted struct {
	State      State
	Generation uint64 // of the role entry, or the highest one known
	Lease      Instant
	SendUntil  Instant
	Yielded    bool     // the kernel has yielded this generation
	Priority   Priority // what the data plane compares with
	LastSent   Instant  // T0 of the last advert; 0 if unknown: then all that is heard counts as later

	Demotion int     // the sum in force now, as in the event
	Reason   Reason  // of State, for status; 0 if unknown
	Since    Instant // likewise
}

// Adopt makes a Machine that goes on where an earlier process was killed or replaced. As
// long as its lease lasts and the kernel has not yielded it is MASTER, of the same
// generation, and the role entry stays as it is: answering is never interrupted. The
// caller drains the ring and steps Tick, which sends at once. Anything else starts as
// BACKUP, by the actions appended to out. The next promotion has the next generation.
func Adopt(cfg Config, at Instant, from Adopted, out []Action) (*Machine, []Action) {
	m := New(cfg, at, from.Generation)
	m.demotion = min(max(from.Demotion, -demotionLimit), demotionLimit)
	m.effective = m.priority()
	if from.State != Master || from.Yielded || at >= from.Lease {
		m.listen(at, 0)
		out = append(out, SetRole{State: Backup, Generation: m.generation})
		if from.State == Master {
			out = append(out, RemoveVIPs{})
		}
		return m, m.enter(Backup, ReasonStartup, nil, at, out)
	}
	m.state, m.phase = Master, phaseOwning
	if from.Reason != 0 {
		m.reason, m.since = from.Reason, min(from.Since, at)
	}
	m.master = master{
		recorded: from.Priority, stated: from.Priority,
		lease: from.Lease, sendUntil: from.SendUntil, lastSent: min(from.LastSent, at),
		nextSend: at, adopted: true, judged: at,
	}
	if before := m.cfg; before.AdvBase != from.Priority.AdvBase {
		// As after a Reconfigure: peers wait as the values said that they have heard.
		before.AdvBase = from.Priority.AdvBase
		m.master.cap = min(before.span(from.Priority), m.cfg.span(m.effective))
	}
	return m, out
}
