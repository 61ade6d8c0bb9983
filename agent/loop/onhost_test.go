// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"slices"
	"testing"
	"time"

	"vipd/agent/election"
	"vipd/agent/netio"
)

func (b *bench) flush() {
	clear(b.vips)
	b.syncInterfaces() // as the kernel's event does
}

// The same after an event about addresses, again and again: to the kernel the host is then as it was before the claim.
func TestFlushedAddressesReturnAfterAnAddressEvent(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	for i := range 3 {
		clear(b.vips)
		b.syncAddresses()
		if !b.vips[fakeRoute{10, prefix("192.0.2.100/32")}] {
			t.Errorf("flush %d: the address was not put back", i)
		}
		b.now += int64(restorePause)
	}
}

// The kernel removes the IPv6 addresses of an interface that is set down, and says that first.
func TestDownInterfaceIsNotFlushedByAnybody(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	down := b.links["eth0"]
	down.Up = false
	b.links["eth0"] = down
	clear(b.vips)
	b.syncAddresses()
	b.expectState("eth0@1", election.Init, election.ReasonLinkDown)
	if n, _ := b.group("eth0@1").shown.Live().Restored(); n != 0 {
		t.Errorf("%d addresses counted as removed by another process", n)
	}
}

func TestFlushedAddressesReturnAtOnce(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24", "192.0.2.101/24"))
	b.master()
	b.flush()
	if log := b.drain(); !slices.Contains(log, "add 192.0.2.100 to 10") ||
		!slices.Contains(log, "add 192.0.2.101 to 10") {
		t.Errorf("actions %q", log)
	}
	if n := func() uint64 { n, _ := b.group("eth0@1").shown.Live().Restored(); return n }(); n != 2 {
		t.Errorf("%d addresses counted, want 2", n)
	}
}

// Who removes them in a loop gets them back at most every restorePause.
func TestFlushLoopDoesNotSpin(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	for range 1000 { // a second
		b.flush()
		b.pass(time.Millisecond)
	}
	added := 0
	for _, line := range b.drain() {
		if line == "add 192.0.2.100 to 10" {
			added++
		}
	}
	if most := int(time.Second/restorePause) + 3; added < 4 || added > most { // with those of the adverts
		t.Errorf("added %d times in a second, want 4 to %d", added, most)
	}
	b.pass(restorePause)
	if !b.vips[fakeRoute{10, prefix("192.0.2.100/32")}] {
		t.Error("the last one was not put back")
	}
}

func TestNobodyFlushedABackup(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.flush()
	b.expect()
}

// A dump that failed says nothing of what is there.
func TestUnreadableHostFlushesNothing(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	b.unlisted = netio.ErrNoLink
	b.flush()
	b.expect()
}
