// SPDX-License-Identifier: Apache-2.0

// Package events hands what happens on the node to the clients that follow it.
package events

import (
	"slices"
	"sync"

	"vipd/agent/control/api"
)

// backlog is how many events a client may be behind before it is dropped: a node with many
// groups that loses a link tells of all of them at once.
const backlog = 2 * 4096

// Stream hands events to its followers. Tell never blocks: a follower whose backlog is full
// is dropped, and the last event it gets says so.
type Stream struct {
	mu        sync.Mutex
	followers []*follower
}

type follower struct{ events chan api.Event }

// Follow returns the events from now on. The channel is closed when the follower was too
// slow, and when forget is called.
func (s *Stream) Follow() (events <-chan api.Event, forget func()) {
	f := &follower{events: make(chan api.Event, backlog+1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.followers = append(s.followers, f)
	return f.events, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drop(func(other *follower) bool { return other == f })
	}
}

func (s *Stream) drop(which func(*follower) bool) {
	s.followers = slices.DeleteFunc(s.followers, func(f *follower) bool {
		if !which(f) {
			return false
		}
		close(f.events)
		return true
	})
}

// Tell hands an event to all followers.
func (s *Stream) Tell(ev api.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(func(f *follower) bool {
		if len(f.events) < backlog {
			f.events <- ev
			return false
		}
		f.events <- api.Event{Time: ev.Time, Event: api.EventDropped} // its place is kept
		return true
	})
}
