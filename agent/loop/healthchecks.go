// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"slices"
	"strings"
	"time"

	"vipd/agent/checks"
	"vipd/agent/control/api"
	"vipd/agent/election"
)

// syncChecks keeps the ledger's share of the health checks: an entry for each one that is failing. The probes run
// elsewhere; this only reads their verdicts.
func (h *handicap) syncChecks() {
	results := h.checks.Results()
	h.env.stale.memory = true
	before := h.awaited.until
	waits := h.awaited.note(results, h.env.clock.Now())
	if h.awaited.until > before {
		h.awaitChecks() // before anything that a new config allows
	}
	changed := false
	known := map[string]bool{}
	for _, r := range results {
		name := api.DemotionCheckPrefix + r.Name
		known[name] = true
		if r.State != checks.Failing {
			changed = h.env.ledger.remove(name) || changed
			continue
		}
		changed = h.setCheckDemotion(r.Name, r.Demotion, r.Reason, r.Since) || changed
	}
	for _, e := range h.env.ledger.list() {
		if strings.HasPrefix(e.Name, api.DemotionCheckPrefix) && !known[e.Name] {
			changed = h.env.ledger.remove(e.Name) || changed
		}
	}
	h.demoted(changed, "health checks", h.env.ledger.names())
	if waits {
		h.awaitChecks() // after the demotions that the verdicts bring
		h.publish()
	}
}

func (h *handicap) setCheckDemotion(check string, value int, reason string, since time.Time) bool {
	return h.env.ledger.set(api.DemotionCheckPrefix+check, value, "the check fails: "+reason, h.env.orNow(since))
}

// awaitChecks tells every machine until when it leaves a living master alone.
func (h *handicap) awaitChecks() { h.env.groups.tell(election.AwaitChecks{Until: h.awaited.until}) }

// giveUpOnChecks logs that checks without a verdict no longer hold the node back.
func (h *handicap) giveUpOnChecks(now election.Instant) {
	if names := h.awaited.overdue(now); names != nil {
		h.env.log.Warn("checks have no verdict in the time they can take; the node may preempt without them", "checks", names)
		h.publish()
	}
}

// firstVerdicts are the health checks that this process has no verdict of its own on yet. The node does not preempt
// before it has them: it would give the addresses back when a check turns out to fail. The wait for a check that hangs
// or wavers lasts as long as the check can take to a verdict ([checks.Patience]), and no longer.
type firstVerdicts struct {
	since map[string]election.Instant // when the check was first seen
	names []string                    // that are waited for
	until election.Instant            // 0 = none is
}

// note takes the checks' results. It reports whether names or until changed.
func (f *firstVerdicts) note(results []checks.Result, now election.Instant) (changed bool) {
	since := make(map[string]election.Instant, len(results))
	var names []string
	var until election.Instant
	for _, r := range results {
		if r.Confirmed {
			continue
		}
		id := r.Name + " " + r.Subject
		begun, known := f.since[id]
		if !known {
			begun = now
		}
		since[id] = begun
		if end := begun.Add(r.Patience); now < end {
			names, until = append(names, r.Name), max(until, end)
		}
	}
	changed = until != f.until || !slices.Equal(names, f.names)
	f.since, f.names, f.until = since, names, until
	return changed
}

// overdue returns the checks whose time is over without a verdict, once.
func (f *firstVerdicts) overdue(now election.Instant) []string {
	if f.until == 0 || now < f.until {
		return nil
	}
	names := f.names
	f.names, f.until = nil, 0
	return names
}
