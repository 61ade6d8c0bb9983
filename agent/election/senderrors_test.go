// SPDX-License-Identifier: Apache-2.0

package election_test

import (
	"testing"
	"time"

	"vipd/agent/election"
)

// A demotion for failed sends ends after three consecutive successes, or, for a node that sends nothing, after a
// probation that doubles; never by time while MASTER.
func TestSendErrorsDemoteAndRecover(t *testing.T) {
	t.Parallel()
	var s election.SendErrors
	now := election.Instant(time.Hour)
	fail := func(n int) {
		for range n {
			s.Sent(now, election.SendAdvert{}, false, false)
		}
	}
	good := func(n int) {
		for range n {
			s.Sent(now, election.SendAdvert{}, true, false)
		}
	}
	expect := func(demoted bool, when string) {
		t.Helper()
		if s.Demoted() != demoted {
			t.Errorf("%s: demoted %v, want %v", when, s.Demoted(), demoted)
		}
	}
	fail(2)
	good(1)
	expect(false, "after two errors")
	fail(1)
	expect(true, "after the third, with one good send between them")
	good(2)
	expect(true, "after two good sends")
	good(1)
	expect(false, "after three")

	fail(3)
	for _, wait := range []time.Duration{30, 60, 120, 240, 480, 600, 600} {
		s.Look(now.Add(time.Hour), election.Master)
		expect(true, "a MASTER after an hour")
		s.Look(now.Add(wait*time.Second-1), election.Backup)
		expect(true, "a BACKUP before the end of its probation")
		now = now.Add(wait * time.Second)
		s.Look(now, election.Backup)
		expect(false, "a BACKUP after it")
		fail(3)
		expect(true, "three errors later")
	}
	s.Look(now, election.Init)
	expect(false, "in INIT")

	s.Sent(now, election.SendAdvert{Whole: true}, false, true)
	if expect(true, "after a claim that was taken back"); !s.Partly() {
		t.Error("a withdrawn claim does not count as partly sent")
	}
}
