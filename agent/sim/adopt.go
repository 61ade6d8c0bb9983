// SPDX-License-Identifier: Apache-2.0

package sim

import "vipd/agent/election"

// This file is a restart that goes on with what is pinned, after agent/adopt.go.

// adopt makes m's machine go on from the data plane, as far as that allows.
func (w *World) adopt(m *member, highest uint64) {
	h, k := m.host, &m.kernel
	from := election.Adopted{
		State: k.role.State, Generation: highest, Lease: k.role.Lease, SendUntil: k.role.SendUntil,
		Yielded: k.yielded >= k.role.Generation, Priority: k.priority,
	}
	if from.State == election.Master && !from.Yielded {
		from.Generation = k.role.Generation
	}
	w.stats.Adopted++
	machine, late := election.Adopt(m.cfg, h.clock.local(w.now), from, nil)
	*m.machine = *machine
	m.patience = minDown(m.cfg)
	m.asked = true
	for _, act := range late {
		if t, ok := act.(election.Transition); ok {
			w.decided(m, t)
		}
	}
	for _, act := range late {
		w.execute(m, act)
	}
	m.asked = false
	if v := m.machine.View(); v.State == election.Master {
		w.stats.AdoptedMaster++
	}
	w.check(m.group)
}

// highest is the highest generation that is pinned on a host.
func (h *host) highest() (generation uint64) {
	for _, m := range h.members {
		generation = max(generation, m.kernel.role.Generation)
	}
	return generation
}
