// SPDX-License-Identifier: Apache-2.0

package election_test

import (
	"testing"
	"time"

	"vipd/agent/election"
)

// An advert's interval is its beat, which is compared with nothing.
func TestAdvertInterval(t *testing.T) {
	t.Parallel()
	a := election.Advert{Priority: election.Priority{AdvBase: 1, AdvSkew: 128}}
	if got := a.Interval(); got != 1500*time.Millisecond {
		t.Errorf("without a beat: %v", got)
	}
	a.Beat = 5 * time.Millisecond
	if got := a.Interval(); got != a.Beat {
		t.Errorf("with a beat: %v", got)
	}
	if worse := (election.Priority{AdvBase: 1, AdvSkew: 127}); election.Superior(a.Priority, worse, false) {
		t.Error("the beat makes an advert superior")
	}
}
