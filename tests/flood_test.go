// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"testing"
	"time"

	"vipd/tests/lab"
)

// A flood of forged adverts that bear the master's address starves neither the master's own adverts nor a MASTER's period.
// Runs alone: it takes a core.
func TestFloodOfForgedAdvertsChangesNothing(t *testing.T) {
	s := newSingle(t, oneVIP(100))
	truth := newPeer(s.clientPort, addrClient)
	forger := foreignKey(newPeer(s.clientPort, addrClient))
	s.node.Start()
	s.node.WaitState(group, lab.Backup, 5*time.Second)
	truth.send(1, 0, 0)
	s.node.WaitFor(group, "hears its master", 2*time.Second, func(g lab.GroupStatus) bool { return g.Counters.Received == 1 })
	before := s.node.Group(group)

	// Longer than its master-down time: one true advert a second, as fast as we can forge in between.
	frames := make([][]byte, 64)
	for i := range frames {
		frames[i] = forger.build(nil)
	}
	forged, said := 0, 0
	start := time.Now()
	for next := start; time.Since(start) < 6*time.Second; forged++ {
		if time.Now().After(next) {
			truth.send(1, 0, 0)
			said++
			next = next.Add(time.Second)
		}
		forger.injector.Send(frames[forged%len(frames)])
	}
	rate := float64(forged) / time.Since(start).Seconds()

	after := s.node.Group(group)
	rejected := after.Counters.Rejected["bad_hmac"] + after.Counters.Rejected["rate_limited"]
	t.Logf("%.0f forged adverts a second; %d of %d true ones received; rejected %d (%d unverified)", rate,
		after.Counters.Received-before.Counters.Received, said, rejected, after.Counters.Rejected["rate_limited"])
	if after.State != lab.Backup || !sameTime(after.Since, before.Since) {
		t.Errorf("the node is %s (%s) since %v, was BACKUP since %v", after.State, after.Reason, after.Since, before.Since)
	}
	if got := int(after.Counters.Received - before.Counters.Received); got != said {
		t.Errorf("%d of the master's %d adverts were received", got, said)
	}
	if rejected < uint64(forged)*9/10 {
		t.Errorf("%d forged adverts, %d counted: the witness is missing", forged, rejected)
	}
}
