// SPDX-License-Identifier: Apache-2.0

package election

// A node may be unable to send to all of its peers: an address family has no source address, a peer has no
// route, or the kernel refuses some frames of an advert. Such a node is never worse than no node (I9):
//
//   - As BACKUP it does not preempt. It acts at once on a goodbye only if that master was better than this
//     node is now; otherwise two such nodes would hand over to each other forever. After silence it claims
//     where it can.
//   - As MASTER it states skew 240 and sends a goodbye after each advert while it keeps answering, so that
//     a node that reaches all peers takes over, also without preemption. If none does, it continues. A
//     healthy node that joins later waits an interval.
//
// A partial send is a separate outcome (I8):
//
//   - A claim that deposes a living owner is sent completely or not at all (SendAdvert.Whole). If the
//     kernel refuses a part of it, the claim is withdrawn: the node falls silent and then sends a goodbye
//     to the peers that it reached, so that the old owner returns at once.
//   - A claim after silence or a goodbye holds for the peers that it reached.
//   - A renewal does not renew the lease, since the lease must also end in time for peers that receive only
//     the other family. It is retried at once. After the third consecutive one the family counts as
//     unreachable: the other family renews the lease, and the group is offered as described above.

// maxPartial is how many consecutive renewals may be partial until the family counts as unreachable.
const maxPartial = 3

// impaired reports whether some families or peers cannot be reached.
func (m *Machine) impaired() bool { return m.reach.Impaired || m.master.partial >= maxPartial }

func (m *Machine) reached(ev Reach, out []Action) []Action {
	m.reach = ev
	return m.reconsider(out)
}

// reconsider follows a change of impaired: it withdraws a goodbye that no longer applies and advertises the new
// priority.
func (m *Machine) reconsider(out []Action) []Action {
	h, s := &m.handover, &m.master
	withdrawn := h.auto && !m.impaired()
	if withdrawn {
		m.handover = handover{}
	}
	m.effective = m.priority()
	if withdrawn && m.phase == phaseGoodbye {
		return m.goOn(out)
	}
	out = m.restate(out)
	if m.phase == phaseOwning && !s.inFlight && m.now < s.lease {
		out = m.offer(out)
	}
	return out
}

// offer sends a goodbye after an advert of an impaired node.
func (m *Machine) offer(out []Action) []Action {
	h, s := &m.handover, &m.master
	if h.on || h.over || !m.impaired() || s.stated != m.effective {
		return out
	}
	m.handover = handover{on: true, auto: true, since: m.now}
	before := m.phase
	if out = m.sayGoodbye(out); m.phase == before {
		m.handover = handover{} // too late for this advert
	}
	return out
}

// partialSend handles a send of which a part was sent. It returns false if it counts as failed.
func (m *Machine) partialSend(ev Sent, out []Action) ([]Action, bool) {
	s := &m.master
	switch {
	case m.phase == phaseClaiming && s.deposes:
		// The kernel stops answering before the goodbye, since a successor may act on it, and does not wait
		// until the addresses are removed.
		out = append(out, SetRole{State: Backup, Generation: m.generation})
		out = append(out, SendAdvert{Priority: GoodbyePriority(), Goodbye: true})
		s.lastSent = ev.T0 // see sendFailed
		return m.stepDown(ReasonSendFailed, nil, m.now, 0, out), true
	case m.phase == phaseClaiming:
		s.partial = maxPartial
	default:
		s.partial = min(s.partial+1, maxPartial)
	}
	if s.partial < maxPartial {
		return out, false
	}
	m.effective = m.priority()
	out = m.renew(min(ev.T0, m.now), out)
	return m.restate(out), true
}

// abandoned reports whether this node ignores a goodbye: it is impaired, and the sender was not better.
func (m *Machine) abandoned() bool {
	return m.reach.Impaired && (!m.backup.saidKnown || m.backup.said.micros() >= m.effective.micros())
}
