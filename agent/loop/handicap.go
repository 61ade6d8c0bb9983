// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"slices"
	"strings"

	"vipd/agent/checks"
	"vipd/agent/control/api"
	"vipd/agent/election"
)

// sourceDemotion brings every node to skew 240.
const sourceDemotion = 240

// handicap is what holds the node back: its demotions, checks without a verdict, and what an earlier process left.
type handicap struct {
	env     *env
	checks  *checks.Runner
	awaited firstVerdicts
	memory  memory
	publish func()
}

// demoted logs that the ledger changed, and tells machines and readers.
func (h *handicap) demoted(changed bool, why string, names any) {
	if !changed {
		return
	}
	h.env.log.Info("demotion changed", "why", why, "name", names, "demotion", h.env.ledger.total())
	h.env.stale.memory = true
	h.keepMemory() // before the command that changed it is answered
	h.demote()
	h.publish()
}

// demote tells every machine the present sum of the ledger.
func (h *handicap) demote() { h.env.groups.tell(election.Demotion{Total: h.env.ledger.total()}) }

// settleLedger tells the machines of changes that came from within their own steps.
func (h *handicap) settleLedger() {
	for h.env.stale.ledger {
		h.env.stale.ledger = false
		h.env.log.Warn("demotion changed by send errors", "demotion", h.env.ledger.total())
		h.demote()
		h.publish()
	}
}

// expireDemotions removes what was added for a time that is over.
func (h *handicap) expireDemotions(now election.Instant) {
	for _, name := range h.env.ledger.expired(now) {
		h.env.ledger.remove(name)
		h.demoted(true, "expired", name)
	}
}

// forgiveSends forgets the failed sends of a group if it is their demotion that the operator removed.
func (h *handicap) forgiveSends(name string) {
	group, is := strings.CutPrefix(name, api.DemotionSendErrPrefix)
	if g := h.env.groups.byName[group]; is && g != nil {
		g.forgiveSends()
	}
}

// demoteUnreachable keeps the ledger's share of each interface from which something cannot be reached. What the kernel
// refuses is demoted for as senderr:.
func (h *handicap) demoteUnreachable() {
	causes := map[string][]string{}
	for _, g := range h.env.groups.order {
		if !g.speaking.reach.static.Impaired {
			continue
		}
		name := api.DemotionSourcePrefix + g.cfg.Interface
		for _, c := range g.unreachable() {
			if !slices.Contains(causes[name], c) {
				causes[name] = append(causes[name], c)
			}
		}
	}
	changed := false
	for _, name := range h.env.ledger.names() {
		if strings.HasPrefix(name, api.DemotionSourcePrefix) && causes[name] == nil {
			changed = h.env.ledger.remove(name) || changed
		}
	}
	for name, why := range causes {
		d := api.Demotion{Name: name, Value: sourceDemotion, Reason: strings.Join(why, "; "), Since: h.env.clock.TimeOfDay()}
		changed = h.env.ledger.put(d, 0) || changed
	}
	h.demoted(changed, "what can be reached from here", api.DemotionSourcePrefix)
}
