// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"net/netip"
	"testing"

	"vipd/agent/election"
)

// An OpenBSD peer takes an advert with its own counter for a loop: what we heard last is never what we send next.
func TestNextCounterIsNotWhatWasHeardLast(t *testing.T) {
	for _, heard := range []bool{false, true} {
		b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
		g, src := b.groups.order[0], netip.MustParseAddr("192.0.2.11")
		next := b.sequence.Last() + 1
		if heard {
			ev := b.advert("eth0@1", 0)
			ev.Counter = next
			b.ring = append(b.ring, ev)
			b.pass(0)
		}
		act := election.SendAdvert{Priority: election.Priority{AdvBase: 1}}
		if a, _ := g.advert(&act, src); (a.Counter == next) == heard {
			t.Errorf("heard it: %v; our next counter is %#x, a peer's last one was %#x", heard, a.Counter, next)
		}
	}
}
