// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"net/netip"

	"vipd/agent/checks"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/state/keep"
)

// memory is what held the node back in an earlier process, and what is to hold it back in the next one (design I7).
type memory struct {
	store *keep.Store
	holds map[string]election.Kept // of groups that are not there yet
}

// restore puts into force what an earlier process kept, before any group exists.
func (h *handicap) restore(m keep.Memory) {
	now := h.env.clock.Now()
	for _, d := range m.Demotions {
		end := election.Instant(d.Ends)
		entry := api.NewDemotion{Name: d.Name, Value: d.Value, Reason: d.Reason}
		switch err := entry.Check(); {
		case err != nil:
			h.env.log.Warn("demotion of before the restart not restored", "name", d.Name, "err", err)
		case end != 0 && now >= end:
			h.env.log.Info("demotion expired while vipd was not running", "name", d.Name)
		case h.env.ledger.byOperator() < api.MaxOperatorDemotions:
			h.env.ledger.put(api.Demotion{Name: d.Name, Value: d.Value, Reason: d.Reason, Since: h.env.orNow(d.Since)}, end)
		}
	}
	verdicts := Verdicts(m)
	for _, c := range h.env.cfg.Checks {
		// In force before the first group: an adopted MASTER must not state too much.
		if v := verdicts[c.Name]; v.State == checks.Failing && v.Subject == checks.Subject(c) {
			h.setCheckDemotion(c.Name, c.Demotion, v.Reason, v.Since)
		}
	}
	h.memory.holds = map[string]election.Kept{}
	for _, hold := range m.Holds {
		h.memory.holds[hold.Group] = keptOf(hold)
	}
	if names := h.env.ledger.names(); len(names) > 0 {
		h.env.log.Info("demotions in force from before the start", "names", names, "demotion", h.env.ledger.total())
	}
}

// Verdicts returns what an earlier process found of the health checks.
func Verdicts(m keep.Memory) map[string]checks.Verdict {
	out := map[string]checks.Verdict{}
	for _, c := range m.Checks {
		v := checks.Verdict{Subject: c.Subject, State: checks.Passing, Reason: c.Reason, Since: c.Since}
		if c.Failing {
			v.State = checks.Failing
		}
		out[c.Name] = v
	}
	return out
}

// restoreHold gives a new group the holds of its predecessor.
func (h *handicap) restoreHold(g *group) {
	if k, ok := h.memory.holds[g.name]; ok {
		g.step(election.Restore{Kept: k})
		delete(h.memory.holds, g.name)
	}
	g.lifecycle.kept = g.machine.Kept()
}

// keepMemory has what changed written, without waiting for it.
func (h *handicap) keepMemory() {
	if !h.env.stale.memory || h.memory.store == nil {
		return
	}
	h.env.stale.memory = false
	var m keep.Memory
	for _, d := range h.env.ledger.list() {
		if d.OfOperator() {
			m.Demotions = append(m.Demotions, keep.Demotion{
				Name: d.Name, Value: d.Value, Reason: d.Reason, Since: d.Since, Ends: int64(h.env.ledger.ends[d.Name]),
			})
		}
	}
	for _, r := range h.checks.Results() {
		if r.State != checks.Unknown {
			m.Checks = append(m.Checks, keep.Check{
				Name: r.Name, Subject: r.Subject, Failing: r.State == checks.Failing, Reason: h.reasonOf(r), Since: r.Since,
			})
		}
	}
	for _, g := range h.env.groups.order {
		if g.lifecycle.kept != (election.Kept{}) && !g.lifecycle.removed {
			m.Holds = append(m.Holds, holdOf(g.name, g.lifecycle.kept))
		}
	}
	h.memory.store.Put(m)
}

// reasonOf is why a check began to fail; its last run may have failed for another reason,
// or not at all.
func (h *handicap) reasonOf(r checks.Result) string {
	if r.State != checks.Failing {
		return ""
	}
	if i, found := h.env.ledger.find(api.DemotionCheckPrefix + r.Name); found {
		const prefix = "the check fails: "
		if text := h.env.ledger.entries[i].Reason; len(text) > len(prefix) {
			return text[len(prefix):]
		}
	}
	return r.Reason
}

func keptOf(h keep.Hold) election.Kept {
	k := election.Kept{
		YieldUntil: election.Instant(h.YieldUntil), FailUntil: election.Instant(h.FailUntil), FailWait: h.FailWait,
		Said: election.Priority{AdvBase: h.AdvBase, AdvSkew: h.AdvSkew, Demote: h.Demote},
	}
	for _, addr := range h.Successors {
		if f := election.FamilyOf(addr); f != election.FamilyNone {
			k.Successor[f-election.IPv4] = addr
		}
	}
	return k
}

func holdOf(group string, k election.Kept) keep.Hold {
	h := keep.Hold{
		Group: group, YieldUntil: int64(k.YieldUntil), FailUntil: int64(k.FailUntil), FailWait: k.FailWait,
		AdvBase: k.Said.AdvBase, AdvSkew: k.Said.AdvSkew, Demote: k.Said.Demote,
	}
	for _, addr := range k.Successor {
		if addr != (netip.Addr{}) {
			h.Successors = append(h.Successors, addr)
		}
	}
	return h
}
