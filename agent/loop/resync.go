// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"time"

	"vipd/agent/election"
)

// resync spaces the looks at the host. The first event after a quiet time is acted on at once; a program that changes
// addresses or links in a loop does not take the agent's time.
type resync struct {
	links, addresses     bool             // an event said that there is something to look at
	linksAt, addressesAt election.Instant // not before
}

const (
	// syncPause is the least time between two looks, and syncMax the longest. Between them it is so many times as long
	// as the look took: less for links, whose loss is urgent, than for addresses.
	syncPause    = 20 * time.Millisecond
	syncMax      = time.Second
	linkShare    = 10
	addressShare = 50
)

// want notes an event: about addresses, or also about links.
func (r *resync) want(links bool) {
	r.links, r.addresses = r.links || links, true
}

// next returns when the next look is due, 0 if none is wanted.
func (r *resync) next() election.Instant {
	switch {
	case r.links && r.addresses:
		return min(r.linksAt, r.addressesAt)
	case r.links:
		return r.linksAt
	case r.addresses:
		return r.addressesAt
	default:
		return 0
	}
}

// doneAll notes a look at links and addresses from its beginning to its end.
func (r *resync) doneAll(began, ended election.Instant) {
	r.links, r.linksAt = false, pauseAfter(began, ended, linkShare)
	r.doneAddresses(began, ended)
}

// doneAddresses notes a look at addresses alone.
func (r *resync) doneAddresses(began, ended election.Instant) {
	r.addresses, r.addressesAt = false, pauseAfter(began, ended, addressShare)
}

func pauseAfter(began, ended election.Instant, share time.Duration) election.Instant {
	return ended.Add(min(max(syncPause, share*ended.Sub(began)), syncMax))
}

// look has a look at the host that is wanted and due.
func (l *Loop) look(now election.Instant) {
	switch r := &l.resync; {
	case r.links && now >= r.linksAt:
		l.catchUp() // what the wire said before the link went counts first
		l.syncLinks()
		poke(l.upkeep.look)
	case r.addresses && now >= r.addressesAt:
		l.catchUp()
		l.syncAddresses()
	}
}
