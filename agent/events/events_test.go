// SPDX-License-Identifier: Apache-2.0

package events

import (
	"testing"

	"vipd/agent/control/api"
)

// Tell never waits: a follower that does not read is dropped, and its last event says so.
func TestSlowFollowerIsDropped(t *testing.T) {
	t.Parallel()
	var s Stream
	slow, forget := s.Follow()
	quick, forgetQuick := s.Follow()
	defer forgetQuick()
	for range backlog + 5 {
		s.Tell(api.Event{Event: api.EventTransition})
		<-quick
	}
	n, last := 0, api.Event{}
	for last = range slow {
		n++
	}
	if n != backlog+1 || last.Event != api.EventDropped {
		t.Errorf("%d lines, the last one %q, want %d and %q", n, last.Event, backlog+1, api.EventDropped)
	}
	if len(s.followers) != 1 {
		t.Errorf("%d followers left, want the quick one", len(s.followers))
	}
	forget() // twice is harmless
}
