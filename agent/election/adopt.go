// SPDX-License-Identifier: Apache-2.0

package election

// Adopted is the state of a group that an earlier process left in the data plane.
type Adopted struct {
	State      State
	Generation uint64 // of the role entry, or the highest known one
	Lease      Instant
	SendUntil  Instant
	Yielded    bool     // the kernel has yielded this generation
	Priority   Priority // the one that the data plane compares with
	LastSent   Instant  // T0 of the last advert; 0 if unknown: then every advert heard counts as later

	Demotion int     // the present total, as in the event
	Reason   Reason  // of State, for status; 0 if unknown
	Since    Instant // likewise
}

// Adopt returns a Machine that continues from an earlier process. While the lease is valid and the kernel has
// not yielded, it is MASTER with the same generation, and the role entry stays, so that answering is not
// interrupted. The caller drains the ring and steps Tick, which sends at once. Otherwise the machine starts
// as BACKUP, with actions appended to out: the earlier process may have ended after it took its role back and before
// it took the addresses off. The next promotion has the next generation.
func Adopt(cfg Config, at Instant, from Adopted, out []Action) (*Machine, []Action) {
	m := New(cfg, at, from.Generation)
	m.demotion = min(max(from.Demotion, -demotionLimit), demotionLimit)
	m.effective = m.priority()
	// The switch port of a node that was MASTER forwards.
	m.delay.on = from.State != Master
	if from.State != Master || from.Yielded || at >= from.Lease {
		m.await(at, 0)
		out = append(out, SetRole{State: Backup, Generation: m.generation}, RemoveVIPs{})
		return m, m.enter(Backup, ReasonStartup, nil, at, out)
	}
	m.state, m.phase = Master, phaseOwning
	if from.Reason != 0 {
		m.reason, m.since = from.Reason, min(from.Since, at)
	}
	m.master = master{
		permit: permit{recorded: from.Priority, lease: from.Lease, sendUntil: from.SendUntil, judged: at},
		sends: sends{
			stated: from.Priority, told: from.Priority.Interval(),
			lastSent: min(from.LastSent, at), nextSend: at, behind: m.cfg.Stagger,
		},
		adopted: true,
	}
	// As after a Reconfigure: peers wait according to the last advert.
	before := m.cfg
	before.AdvBase = from.Priority.AdvBase
	m.master.unit = before.unit(from.Priority, 0)
	return m, out
}
