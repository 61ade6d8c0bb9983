// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"testing"
	"time"

	"vipd/agent/wire"
	"vipd/tests/lab"
)

// Copies of adverts without trailers, which a node that checks no counter has to accept, cost its agent nothing, move
// nothing, and leave the true master's timer alone: when that one falls silent, and the flood with it, the node takes
// over in time.
func TestFloodOfReplayedAdvertsCostsTheAgentNothing(t *testing.T) {
	s := newSingle(t, oneVIP(100))
	master := newPeer(s.clientPort, addrClient)
	s.node.Start()
	s.node.WaitState(group, lab.Backup, patience)
	master.send(1, 0, 0)
	s.node.WaitFor(group, "hears the master", patience, hearsMaster)
	before := s.node.Group(group)

	var copied []byte
	attacker := s.clientPort.Injector()
	cpu, start := s.node.Proc().CPU(), time.Now()
	sent, next := 0, start
	for time.Since(start) < 5*time.Second {
		if now := time.Now(); !now.Before(next) {
			copied = master.build(func(f *wire.AdvertFrame) { f.Advert.AdvBase = 1 })
			attacker.Send(copied)
			next = next.Add(time.Second)
		}
		for range 1000 {
			attacker.Send(copied)
			sent++
		}
		time.Sleep(max(0, time.Duration(sent)*10*time.Microsecond-time.Since(start))) // 100,000 per second
	}
	took := time.Since(start)
	busy := s.node.Proc().CPU() - cpu
	silent := time.Now()
	after := s.node.Group(group)
	heard := after.Counters.Received - before.Counters.Received
	t.Logf("%d copies in %v (%.0f per second), %d authentic; the agent took %.1f %% of a core",
		sent, took, float64(sent)/took.Seconds(), heard, 100*busy.Seconds()/took.Seconds())
	if heard < uint64(sent)/2 || heard < 10_000 {
		t.Errorf("only %d of %d copies counted: the test proves nothing", heard, sent)
	}
	if busy > took/10 {
		t.Errorf("the agent took %v of %v", busy, took)
	}
	if after.State != lab.Backup || !sameTime(after.Since, before.Since) {
		t.Errorf("it is %s (%s) since %v", after.State, after.Reason, after.Since)
	}
	s.node.WaitAnswering(group, patience)
	// once more an interval if the budget ran out
	if waited := time.Since(silent); waited < 2500*time.Millisecond || waited > skewed(100)+2500*time.Millisecond {
		t.Errorf("it took over %v after the last copy", waited)
	}
}
