// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"strings"
	"time"

	"vipd/agent/checks"
	"vipd/agent/control/api"
)

// syncChecks keeps the ledger's share of the health checks: an entry for each
// one that is failing. The probes run elsewhere; this only reads their verdicts.
func (a *Agent) syncChecks() {
	changed := false
	known := map[string]bool{}
	for _, r := range a.checks.Results() {
		name := api.DemotionCheckPrefix + r.Name
		known[name] = true
		if r.State != checks.Failing {
			changed = a.ledger.remove(name) || changed
			continue
		}
		changed = a.ledger.set(name, r.Demotion, fmt.Sprintf("the check fails: %s", r.Reason), a.orNow(r.Since)) || changed
	}
	for _, e := range a.ledger.list() {
		if strings.HasPrefix(e.Name, api.DemotionCheckPrefix) && !known[e.Name] {
			changed = a.ledger.remove(e.Name) || changed
		}
	}
	a.demoted(changed, "health checks", a.ledger.names())
}

// orNow stands in for a time that is not known.
func (a *Agent) orNow(t time.Time) time.Time {
	if t.IsZero() {
		return a.timeOfDay()
	}
	return t
}
