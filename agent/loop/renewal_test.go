// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/netio"
)

// count returns how many of the actions since the last call start with prefix.
func (b *bench) count(prefix string) int {
	n := 0
	for _, line := range b.drain() {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

// The addresses of a MASTER are renewed by their own lifetime, not with each advertisement, and long before its end.
func TestAddressesAreRenewedRarely(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24", "2001:db8::100/64"))
	b.master()
	const minutes = 5
	renewed := map[string][]int64{}
	for range minutes * 600 {
		b.pass(100 * time.Millisecond)
		for _, line := range b.drain() {
			if strings.HasPrefix(line, "renew ") {
				renewed[line] = append(renewed[line], b.now)
			}
		}
	}
	for _, line := range []string{"renew 192.0.2.100 on 10", "renew 2001:db8::100 on 10"} {
		at := renewed[line]
		if len(at) < 2*minutes || len(at) > 3*minutes {
			t.Errorf("%s: %d times in %d minutes, want 2 to 3 times per minute", line, len(at), minutes)
		}
		for i := range at[1:] {
			if gap := time.Duration(at[i+1] - at[i]); gap > netio.VIPLife/2 {
				t.Errorf("%s: %v after the one before, and the address lives for %v", line, gap, netio.VIPLife)
			}
		}
	}
}

// A claim of many addresses does not keep the loop: each round adds a part, the advertisement is out after the first,
// and all are there in the end, as addresses or as local routes.
func TestAddressesOfAClaimComeInParts(t *testing.T) {
	for _, c := range []struct {
		number int
		slow   time.Duration // each
		verb   string
		first  int // at most so many come in the round of the claim
		turn   time.Duration
	}{
		{number: 256, slow: 200 * time.Microsecond, verb: "add 198.18.", first: 120, turn: 2 * turnBudget.time},
		{number: 1000, slow: 20 * time.Microsecond, verb: "add local 198.18.", first: 384, turn: 3 * time.Millisecond},
	} {
		b := newBench(t, testGroup("eth0", 1, spaced(c.number)...))
		b.slow = c.slow
		b.pass(3 * time.Second)
		log := b.drain()
		sent := slices.ContainsFunc(log, func(line string) bool { return strings.HasPrefix(line, "advert 1/0") })
		there := strings.Count(strings.Join(log, "\n"), c.verb)
		if !sent || there > c.first || there == 0 {
			t.Errorf("in the round of the claim %d addresses were added, and the advertisement was sent: %v", there, sent)
		}
		rounds := 0
		for ; there < c.number; rounds++ {
			if at := b.groups.hostDue(b.clock.Now()); at == 0 || int64(at) > b.now {
				t.Fatalf("%d of %d addresses are there and the loop would sleep", there, c.number)
			}
			before := b.now
			b.pass(0)
			if took := time.Duration(b.now - before); took > c.turn {
				t.Fatalf("a round took %v", took)
			}
			there += b.count(c.verb)
		}
		if rounds < 5 {
			t.Errorf("all addresses came within %d rounds", rounds)
		}
		b.expectComplete("eth0@1")
	}
}

// spaced returns addresses of which no two fill a prefix.
func spaced(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("198.18.%d.%d/32", i/128, i%128*2))
	}
	return out
}

// expectComplete checks that the group has put all its addresses on the host.
func (b *bench) expectComplete(name string) {
	b.t.Helper()
	g := b.group(name)
	var missing []netip.Prefix
	for _, p := range g.cfg.Addresses {
		if !b.hostHas(g.iface.link.Index, p.Addr()) {
			missing = append(missing, p)
		}
	}
	if g.onHost.placing.active || g.onHost.fault != "" || len(missing) > 0 {
		b.t.Errorf("%d of %d addresses are missing, fault %q", len(missing), len(g.cfg.Addresses), g.onHost.fault)
	}
}

// A node that loses MASTER in the middle of it stops adding addresses, and takes off what is there, in parts as well.
func TestLostClaimStopsAddingAddresses(t *testing.T) {
	for _, number := range []int{200, 900} {
		b := newBench(t, testGroup("eth0", 1, spaced(number)...))
		b.slow = 150 * time.Microsecond
		b.pass(3 * time.Second)
		if n := len(b.vips) + len(b.local); n == 0 || n == number { // the witness
			t.Fatalf("%d of %d addresses after the claim", n, number)
		}
		b.ring = append(b.ring, b.advert("eth0@1", 0))
		for range 100 {
			b.pass(time.Millisecond)
		}
		if n := len(b.vips) + len(b.local); n != 0 {
			t.Errorf("%d addresses are on the host of a BACKUP", n)
		}
	}
}

// While the lease has ended nothing is renewed, so that the addresses go; with the next lease they come back.
func TestNothingIsRenewedWithoutALease(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	b.sendErr = errRefused
	for range 100 {
		b.pass(time.Second)
	}
	if n := b.count("renew "); n != 0 {
		t.Errorf("renewed %d times without a lease", n)
	}
	clear(b.vips) // as the kernel does in the meantime
	b.sendErr = nil
	for range 70 { // a pause after failures is up to a minute
		b.pass(time.Second)
	}
	if len(b.vips) != 1 {
		t.Errorf("%d addresses with a lease again, want 1", len(b.vips))
	}
}

// An address that could not be renewed is tried again with the next advertisement.
func TestFailedAddressIsTriedAgain(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24", "192.0.2.101/24"))
	b.refused = errRefused
	b.pass(3 * time.Second)
	if g := b.group("eth0@1"); g.onHost.fault == "" || len(g.onHost.addresses) != 0 {
		t.Fatalf("addresses %v, fault %q; want a fault", g.onHost.addresses, g.onHost.fault)
	}
	b.refused = nil
	b.pass(time.Second)
	b.expectComplete("eth0@1")
	b.refused = errRefused
	for range 25 {
		b.pass(time.Second)
	}
	if g := b.group("eth0@1"); g.onHost.fault == "" {
		t.Error("a renewal that failed left no fault")
	}
	b.refused = nil
	b.pass(time.Second)
	b.expectComplete("eth0@1")
}
