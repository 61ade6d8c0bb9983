// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"slices"
	"testing"
	"time"

	"vipd/agent/config"
)

// A failing check demotes by its own value and name; a reload without it takes that
// back, whatever the check would have said.
func TestFailingCheckDemotes(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	b.checks.Reconcile([]config.Check{{
		Name: "gateway", Type: config.CheckCommand, Command: []string{"/bin/false"},
		Interval: 10 * time.Millisecond, Timeout: 10 * time.Second, Rise: 1, Fall: 2, Demotion: 50,
	}})
	for b.ledger.total() == 0 {
		<-b.checks.Changed()
		b.syncChecks()
	}
	if st := b.status(); st.Demotion != 50 || st.Demotions[0].Name != "check:gateway" {
		t.Errorf("demotions %+v, want check:gateway 50", st.Demotions)
	}
	if log := b.drain(); !slices.Contains(log, "advert 1/50 from 192.0.2.11") {
		t.Errorf("not advertised at once: %q", log)
	}
	b.checks.Reconcile(nil)
	<-b.checks.Changed()
	b.syncChecks()
	if got := b.ledger.total(); got != 0 {
		t.Errorf("sum %d after the check was taken out, want 0", got)
	}
}
