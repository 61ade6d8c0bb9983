// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"fmt"
	"testing"
	"time"

	"vipd/agent/config"
	"vipd/agent/election"
)

// A look at the host reads its links and its addresses once, however many interfaces carry groups.
func TestOneDumpPerLook(t *testing.T) {
	var groups []config.Group
	for i := range 50 {
		groups = append(groups, testGroup(fmt.Sprintf("eth%d", i), 1, fmt.Sprintf("192.0.2.%d/24", 100+i)))
	}
	b := newBench(t, groups...)
	before := b.dumps
	b.syncInterfaces()
	if links, addresses := b.dumps.links-before.links, b.dumps.addresses-before.addresses; links != 1 || addresses != 1 {
		t.Errorf("links were read %d times and addresses %d times, want once", links, addresses)
	}
	before = b.dumps
	b.syncAddresses()
	if links, addresses := b.dumps.links-before.links, b.dumps.addresses-before.addresses; links != 0 || addresses != 1 {
		t.Errorf("after address events: links %d times, addresses %d times, want 0 and 1", links, addresses)
	}
}

// After events about addresses the groups follow what has changed, and only that.
func TestAddressEventMovesItsGroupAlone(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"), testGroup("eth1", 2, "192.0.2.101/24"))
	b.master()
	b.foreign = append(b.foreign, ordinaryAddress(99, "198.51.100.1/24")) // of an interface without groups
	b.syncAddresses()
	b.expect()
	b.foreign = append(b.foreign, ordinaryAddress(10, "192.0.2.100/24"))
	b.syncAddresses()
	for range 6 {
		b.pass(time.Second)
	}
	b.expectState("eth0@1", election.Init, election.ReasonOwnAddress)
	b.expectState("eth1@2", election.Master, election.ReasonMasterTimeout)
	b.foreign = nil
	b.syncAddresses()
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
}

// What vipd itself has added to the host is an event, too, and changes nothing for the groups.
func TestOwnEventsMoveNothing(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	shown := b.View()
	b.syncLinks()
	b.syncAddresses()
	if b.View() != shown {
		t.Error("the groups followed the address of their own")
	}
	link := b.links["eth0"]
	link.Forwards6 = true
	b.links["eth0"] = link
	b.syncLinks() // the witness
	if b.View() == shown {
		t.Error("the groups did not follow a change of their link")
	}
}

// An interface that cannot be read is not an interface that is gone.
func TestUnreadableLinksMoveNothing(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	b.unlisted = errRefused
	b.syncInterfaces()
	b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
	b.unlisted = nil
	delete(b.links, "eth0")
	b.syncInterfaces() // the witness
	b.expectState("eth0@1", election.Init, election.ReasonInterfaceMissing)
}

// The first event after a quiet time is acted on at once. After that, looks take a fiftieth of the time at the most,
// those that a link is waiting for a tenth, and none waits for more than a second.
func TestLooksAreSpaced(t *testing.T) {
	const at = election.Instant(startTime)
	for _, c := range []struct {
		took, addresses, links time.Duration
	}{
		{0, syncPause, syncPause},
		{2 * time.Millisecond, 100 * time.Millisecond, syncPause},
		{10 * time.Millisecond, 500 * time.Millisecond, 100 * time.Millisecond},
		{time.Minute, syncMax, syncMax},
	} {
		var r resync
		if r.next() != 0 {
			t.Error("a look is wanted before any event")
		}
		r.want(false)
		if next := r.next(); next > at {
			t.Errorf("the first look waits until %d", next)
		}
		r.doneAll(at.Add(-c.took), at)
		if r.next() != 0 {
			t.Error("a look is wanted after one")
		}
		r.want(false)
		if got := r.next().Sub(at); got != c.addresses {
			t.Errorf("after a look of %v the next one at addresses comes after %v, want %v", c.took, got, c.addresses)
		}
		r.want(true)
		if got := r.next().Sub(at); got != c.links {
			t.Errorf("after a look of %v the next one at links comes after %v, want %v", c.took, got, c.links)
		}
		r.doneAddresses(at, at)
		if !r.links || r.addresses {
			t.Errorf("after a look at addresses alone: %+v, want links still to be looked at", r)
		}
	}
}

// Whether the host forwards IPv6 packets comes with the links, and goes into the answers of the data plane.
func TestForwardingIsReadWithTheLinks(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "2001:db8::100/64"))
	for _, forwards := range []bool{true, false} {
		link := b.links["eth0"]
		link.Forwards6 = forwards
		b.links["eth0"] = link
		b.syncInterfaces()
		if got := b.group("eth0@1").entry.spec.Router; got != forwards {
			t.Errorf("forwarding %v: the data plane answers as router %v", forwards, got)
		}
	}
}
