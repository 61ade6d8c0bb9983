// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/config"
	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/agent/wire"
	"vipd/loader"
)

// dualMasters is a bench with n dual-stack groups, of which half are on another interface, all of them MASTER.
func dualMasters(t *testing.T, n int) *bench {
	t.Helper()
	var groups []config.Group
	for i := range n {
		groups = append(groups, testGroup(fmt.Sprintf("eth%d", i*2/n), uint8(i+1), fmt.Sprintf("192.0.2.%d/32", 50+i),
			fmt.Sprintf("2001:db8::%x/128", 50+i)))
	}
	b := newBench(t, groups...)
	b.own = append(b.own, linkLocal)
	b.syncInterfaces()
	b.master()
	b.pass(time.Second)
	b.drain()
	b.calls = nil
	return b
}

func parse(t testing.TB, f netio.Frame) wire.AdvertFrame {
	t.Helper()
	a, err := wire.ParseAdvertFrame(f.Data)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestAdvertsLeaveTogether: what is due together leaves by a few calls, each group once in each family. No lease begins
// after its advert, though sending takes a while.
func TestAdvertsLeaveTogether(t *testing.T) {
	const n = 150
	b := dualMasters(t, n)
	const took = 300 * time.Microsecond
	sent := map[string]election.Instant{}
	b.sending = func(frames []netio.Frame) {
		for _, f := range frames {
			a := parse(t, f)
			sent[fmt.Sprintf("%d@%d %v", f.IfIndex, a.Advert.VHID, a.Src.Is6())] = election.Instant(b.now)
			if f.IfIndex != b.group(groupOf(b, a.Advert.VHID)).iface.link.Index {
				t.Errorf("vhid %d leaves on interface %d", a.Advert.VHID, f.IfIndex)
			}
		}
		b.now += int64(took)
	}
	b.pass(time.Second)
	if len(sent) != 2*n || len(b.calls) > 2*n/batchSize+1 || slices.Max(b.calls) > batchSize {
		t.Errorf("%d frames in calls of %v, want %d in calls of %d", len(sent), b.calls, 2*n, batchSize)
	}
	for _, g := range b.groups.order {
		v, lease := g.machine.View(), g.env.electionConfig(g.cfg).Lease()
		at := sent[fmt.Sprintf("%d@%d false", g.iface.link.Index, g.cfg.VHID)]
		if began := v.Lease.Add(-lease); at == 0 || began > at || at.Sub(began) > took {
			t.Errorf("%s: sent at %d, lease from %d", g.name, at, began)
		}
	}
}

func groupOf(b *bench, vhid uint8) string {
	for _, g := range b.groups.order {
		if g.cfg.VHID == vhid {
			return g.name
		}
	}
	return ""
}

// advertiseAt has a MASTER advertise at a time of its own, from which on its adverts are due.
func (b *bench) advertiseAt(g *group, at election.Instant) {
	b.now = int64(at)
	v := g.machine.View()
	g.machine, _ = election.Adopt(b.electionConfig(g.cfg), at, election.Adopted{
		State: v.State, Generation: v.Generation, Lease: v.Lease, Priority: v.Compared,
	}, nil)
	g.step(election.Tick{})
}

// TestSliceOfAdverts: groups whose adverts are due within a slice leave with the first one, and the others do not.
func TestSliceOfAdverts(t *testing.T) {
	b := dualMasters(t, 4)
	slice := b.groups.order[0].machine.Slice()
	if slice <= 0 {
		t.Fatalf("slice of %v", slice)
	}
	base := election.Instant(b.now)
	for i, after := range []time.Duration{0, 0, slice, slice + 1} {
		b.advertiseAt(b.groups.order[i], base.Add(after))
	}
	b.drain()
	for _, tc := range []struct {
		after time.Duration
		sent  []string
	}{
		{time.Second - 1, nil},
		{time.Second, []string{"10@1", "10@2", "12@3"}},
		{time.Second + slice, nil},
		{time.Second + slice + 1, []string{"12@4"}},
	} {
		b.now = int64(base)
		b.pass(tc.after)
		var sent []string
		for _, line := range b.drain() {
			if g, is := strings.CutPrefix(line, "record sent "); is && !slices.Contains(sent, g) {
				sent = append(sent, g)
			}
		}
		if !slices.Equal(sent, tc.sent) {
			t.Errorf("after %v: sent %q, want %q", tc.after, sent, tc.sent)
		}
	}
}

// TestClaimsGoTogether: groups that claim at the same time put their addresses on the host by a few calls, and then
// send their adverts by one. One that the kernel refuses keeps no other from its turn.
func TestClaimsGoTogether(t *testing.T) {
	const n, refused = 3 * maxClaims, 7
	groups := make([]config.Group, n)
	for i := range groups {
		groups[i] = testGroup("eth0", uint8(i+1), fmt.Sprintf("198.51.100.%d/32", i+1))
	}
	b := newBench(t, groups...)
	ifindex := b.group("eth0@1").iface.link.Index
	b.calls, b.placed = nil, nil
	b.sending = func(frames []netio.Frame) {
		for _, f := range frames {
			vhid := parse(t, f).Advert.VHID
			if !b.hostHas(ifindex, netip.AddrFrom4([4]byte{198, 51, 100, vhid})) {
				t.Errorf("vhid %d claims before the host has its address", vhid)
			}
		}
	}
	b.Loop.sendAll = func(frames []netio.Frame) {
		b.sendAll(frames)
		for i := range frames {
			if a, err := wire.ParseAdvertFrame(frames[i].Data); err == nil && a.Advert.VHID == refused {
				frames[i].Err = errRefused
			}
		}
	}
	b.pass(3 * time.Second)
	if !slices.Equal(b.calls, []int{maxClaims, maxClaims, maxClaims}) || len(b.placed) > 2*n/maxClaims {
		t.Errorf("adverts left in calls of %v, addresses went to the host in calls of %v", b.calls, b.placed)
	}
	for _, g := range b.groups.order {
		want := election.Master
		if g.cfg.VHID == refused {
			want = election.Backup
		}
		if got := g.machine.State(); got != want || g.speaking.out.waits {
			t.Errorf("%s is %s, want %s; it waits: %v", g.name, got, want, g.speaking.out.waits)
		}
	}
	if b.hostHas(ifindex, netip.AddrFrom4([4]byte{198, 51, 100, refused})) {
		t.Error("the group whose claim was refused has its address on the host")
	}
	if n := len(b.outbox.frames) + len(b.outbox.claims); n > 0 || b.outbox.open {
		t.Errorf("%d wait at the end of the round", n)
	}
}

// TestLateClaimsLeaveFirst: while claims are late, none waits for the addresses of others. The NICs' filters know the
// virtual MACs, and the addresses and announcements follow.
func TestLateClaimsLeaveFirst(t *testing.T) {
	const n = 4 * maxClaims
	groups := make([]config.Group, n)
	for i := range groups {
		groups[i] = testGroup("eth0", uint8(i+1), fmt.Sprintf("198.51.100.%d/32", i+1))
	}
	b := newBench(t, groups...)
	b.slow = 3 * time.Millisecond // each: the first ones take all that claims have
	b.pass(3 * time.Second)
	log := b.drain()
	if sent := len(adverts(slices.Clone(log))); sent != n {
		t.Errorf("%d claims, want %d", sent, n)
	}
	count := func(what string) int { return strings.Count(strings.Join(log, "\n"), what) }
	if added, macs := count("add 198.51.100."), count("add virtual mac"); added == 0 || added > maxClaims || macs != n {
		t.Errorf("%d addresses were added in the round of the claims, and %d virtual MACs", added, macs)
	}
	for rounds := 0; b.groups.hostDue(b.clock.Now()) == b.clock.Now(); rounds++ {
		if rounds > n {
			t.Fatal("the host is never complete")
		}
		before := b.now
		b.pass(0)
		if took := time.Duration(b.now - before); took > 2*turnBudget.time+b.slow*firstPart {
			t.Errorf("a round took %v", took)
		}
	}
	log = append(log, b.drain()...)
	for _, g := range b.groups.order {
		b.expectComplete(g.name)
	}
	if arps := count("gratuitous arp"); arps < n {
		t.Errorf("%d announcements, want %d", arps, n)
	}
}

// TestLateClaimThatYields: a group that hears a better master before its addresses come has nothing left on the host.
func TestLateClaimThatYields(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.pass(3*time.Second + 2*claimBudget.time)
	log := b.drain()
	if !slices.Contains(log, "add virtual mac") || slices.ContainsFunc(log, func(s string) bool {
		return strings.HasPrefix(s, "add 192.0.2.100")
	}) {
		t.Fatalf("the claim was not late:\n%s", strings.Join(log, "\n"))
	}
	better := b.advert("eth0@1", 0)
	better.AdvBase, better.AdvSkew = 0, 1
	b.ring = append(b.ring, better)
	b.pass(0)
	b.expectState("eth0@1", election.Backup, election.ReasonBetterAdvert)
	if log := b.drain(); !slices.Contains(log, "del virtual mac") || len(b.vips) > 0 {
		t.Errorf("on the host: %v\n%s", b.vips, strings.Join(log, "\n"))
	}
	b.pass(0)
	if len(b.vips) > 0 {
		t.Errorf("addresses came later: %v", b.vips)
	}
}

// TestAdvertWaitsForNoClaim: a regular advert leaves after the claims before it, not with them.
func TestAdvertWaitsForNoClaim(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"), testGroup("eth0", 2, "192.0.2.101/24"))
	b.master()
	owner, heir := b.group("eth0@2"), b.group("eth0@1")
	heir.step(election.Down{Reason: election.ReasonLinkDown})
	heir.step(election.Up{Reason: election.ReasonLinkUp})
	b.pass(time.Second)
	b.pass(time.Second)
	var sent [][]uint8
	b.sending = func(frames []netio.Frame) {
		var vhids []uint8
		for _, f := range frames {
			vhids = append(vhids, parse(t, f).Advert.VHID)
		}
		sent = append(sent, vhids)
	}
	b.together(func() {
		b.now += second // both are due
		heir.tick(0)
		if len(sent) > 0 || !heir.speaking.out.waits {
			t.Errorf("the claim does not wait: %v left", sent)
		}
		owner.tick(0)
	})
	if len(sent) != 2 || !slices.Equal(sent[0], []uint8{1}) {
		t.Errorf("adverts left in calls of %v, want the claim of 1 alone at first", sent)
	}
}

// TestRefusedFrame: the group whose frame is refused hears it, and no other one does. Its number is spent, but does not
// count against others.
func TestRefusedFrame(t *testing.T) {
	b := dualMasters(t, 3)
	const vhid = 2
	var left, confirmed []uint64
	b.confirmed = func(number uint64) { confirmed = append(confirmed, number) }
	b.Loop.sendAll = func(frames []netio.Frame) {
		b.sendAll(frames)
		for i := range frames {
			a, err := wire.ParseAdvertFrame(frames[i].Data)
			switch {
			case err != nil: // an announcement
			case a.Advert.VHID == vhid && a.Src.Is6():
				frames[i].Err = errRefused
			default:
				left = append(left, a.Advert.Counter)
			}
		}
	}
	before := map[string]uint64{}
	for _, g := range b.groups.order {
		before[g.name] = g.shown.Live().Sent()
	}
	b.pass(time.Second)
	for _, g := range b.groups.order {
		sent, failed := uint64(2), uint64(0)
		if g.cfg.VHID == vhid {
			sent, failed = 1, 1
		}
		live := g.shown.Live()
		if got := live.Sent() - before[g.name]; got != sent || live.Failed() != failed {
			t.Errorf("%s: %d frames sent, %d adverts failed, want %d and %d", g.name, got, live.Failed(), sent, failed)
		}
		if refused := g.speaking.refused; (failed > 0) != strings.Contains(refused, wire.MulticastV6.String()) {
			t.Errorf("%s: refused %q", g.name, refused)
		}
	}
	if len(left) != 5 || !slices.Equal(left, confirmed) {
		t.Errorf("the kernel knows that %v left, want %v", confirmed, left)
	}
}

// TestClaimDoesNotWait: a claim leaves before the next group's advert is even made.
func TestClaimDoesNotWait(t *testing.T) {
	second := testGroup("eth0", 2, "192.0.2.102/32")
	second.AdvSkew = 50
	b := newBench(t, testGroup("eth0", 1, "192.0.2.101/32"), second, testGroup("eth0", 3, "192.0.2.103/32"))
	b.pass(3 * time.Second)
	base := election.Instant(b.now)
	b.ring = append(b.ring, b.advert("eth0@2", 0))
	b.pass(0)
	b.pass(time.Second)
	b.pass(time.Second)
	b.advertiseAt(b.group("eth0@3"), base.Add(2300*time.Millisecond))
	b.expectState("eth0@2", election.Backup, election.ReasonStartup)
	b.drain()
	// Now all are due: the first one at 3 s, the claim at 3.195 s, and the last one at 3.3 s.
	b.now = int64(base)
	b.pass(3300 * time.Millisecond)
	log := b.drain()
	claim, last := slices.Index(log, "record sent 10@2"), slices.Index(log, "record sent 10@3")
	if first := slices.Index(log, "record sent 10@1"); first < 0 || claim < first || last < claim {
		t.Fatalf("actions %q: want the groups in order", log)
	}
	if !slices.ContainsFunc(log[claim:last], func(s string) bool { return strings.HasPrefix(s, "advert ") }) {
		t.Errorf("actions %q: the claim waited for the next group", log)
	}
}

// TestManyPeers: the data plane recognises the last eight adverts of a group, so no more than that leave at once.
func TestManyPeers(t *testing.T) {
	g := testGroup("eth0", 1, "192.0.2.100/32")
	for i := range 20 {
		g.Peers = append(g.Peers, netip.AddrFrom4([4]byte{192, 0, 2, byte(20 + i)}))
	}
	b := newBench(t, g)
	b.master()
	b.calls = nil
	var dst []netip.Addr
	recorded, left := 0, 0
	b.recorded = func(string) { recorded++ }
	b.sending = func(frames []netio.Frame) {
		for _, f := range frames {
			dst = append(dst, parse(t, f).Dst)
		}
		left += len(frames)
		if recorded != left {
			t.Errorf("%d adverts left, and %d were recorded", left, recorded)
		}
	}
	b.pass(time.Second)
	if !slices.Equal(b.calls, []int{8, 8, 4}) || !slices.Equal(dst, g.Peers) {
		t.Errorf("calls of %v frames to %v", b.calls, dst)
	}
}

// TestYieldWhileAdvertWaits: a group that hears of a better master while its advert waits for others first hears how
// that went, and no action is lost or done twice.
func TestYieldWhileAdvertWaits(t *testing.T) {
	b := dualMasters(t, 3)
	var better loader.Event
	b.recorded = func(plane string) {
		if better.At == 0 && strings.HasSuffix(plane, "@1") {
			better = b.advert("eth0@1", 0)
			better.AdvBase, better.AdvSkew = 0, 1
			b.ring = append(b.ring, better)
		}
	}
	b.pass(time.Second)
	if better.At == 0 || len(b.ring) > 0 {
		t.Fatal("the better advert was not heard")
	}
	b.expectState("eth0@1", election.Backup, election.ReasonBetterAdvert)
	log := b.drain()
	lost := slices.IndexFunc(log, func(s string) bool { return strings.HasPrefix(s, "role 10@1 BACKUP") })
	if out := len(adverts(slices.Clone(log[:max(lost, 0)]))); out != 2 {
		t.Errorf("%d adverts before the yield, want both of the group\n%s", out, strings.Join(log, "\n"))
	}
	if out := len(adverts(slices.Clone(log))); out != 6 {
		t.Errorf("%d adverts, want two of each group\n%s", out, strings.Join(log, "\n"))
	}
	for _, g := range b.groups.order {
		if g.speaking.out.waits || g.done != len(g.queue) {
			t.Errorf("%s has something left to do", g.name)
		}
	}
}

// TestNeighboursAreAskedRarely: groups ask for a peer that they have in common once, ask again for one that has another
// address now, and for one that is off not with every group.
func TestNeighboursAreAskedRarely(t *testing.T) {
	peer, off := netip.MustParseAddr("192.0.2.12"), netip.MustParseAddr("192.0.2.13")
	var groups []config.Group
	for i := range 50 {
		g := testGroup("eth0", uint8(i+1), fmt.Sprintf("192.0.2.%d/32", 100+i))
		g.Peers = []netip.Addr{peer, off}
		groups = append(groups, g)
	}
	b := newBench(t, groups...)
	b.away = map[netip.Addr]error{off: netio.ErrUnresolved}
	b.master()
	b.pass(time.Second)
	b.asked, b.calls = 0, nil
	for range 10 {
		b.pass(time.Second)
	}
	if b.asked > 2*2*10 || b.asked < 10 || len(b.calls) < 10 {
		t.Errorf("asked %d times for two peers in ten seconds", b.asked)
	}
	// One that comes up is spoken to with the next advert.
	b.away = nil
	to := map[netip.Addr]int{}
	b.sending = func(frames []netio.Frame) {
		for _, f := range frames {
			to[parse(t, f).Dst]++
		}
	}
	b.pass(time.Second)
	if to[off] != 50 || to[peer] != 50 {
		t.Errorf("adverts %v, want one of each group to each peer", to)
	}
}

// TestClaimLooksAfresh: what was known of the way to a peer a moment ago does not let a claim on a living owner's group
// begin.
func TestClaimLooksAfresh(t *testing.T) {
	owner, other := netip.MustParseAddr("192.0.2.12"), netip.MustParseAddr("192.0.2.13")
	cfg := testGroup("eth0", 1, "192.0.2.100/32")
	cfg.Peers = []netip.Addr{owner, other}
	b := newBench(t, cfg)
	b.cfg.Carp.Preempt = true
	g := b.group("eth0@1")
	g.machine.Step(b.clock.Now(), election.Reconfigure{Config: b.electionConfig(g.cfg)}, nil)
	b.pass(0)
	if len(g.speaking.reach.plan.Targets) != 2 {
		t.Fatalf("plan %+v, want both peers", g.speaking.reach.plan)
	}
	b.away = map[netip.Addr]error{other: netio.ErrOtherInterface}
	b.drain()
	b.ring = append(b.ring, b.advert("eth0@1", 100))
	b.pass(time.Millisecond)
	if got := adverts(b.drain()); len(got) > 0 {
		t.Errorf("sent %q: a claim that cannot be completed was begun", got)
	}
	if v := g.machine.View(); v.State != election.Backup {
		t.Errorf("%s (%s), want BACKUP", v.State, v.Reason)
	}
	// The witness: with a way to both it does claim.
	b.away = nil
	b.now += 5 * second
	b.ring = append(b.ring, b.advert("eth0@1", 100))
	b.pass(0)
	for range 10 {
		b.now += second
		b.ring = append(b.ring, b.advert("eth0@1", 100))
		b.pass(0)
	}
	if s := g.machine.State(); s != election.Master {
		t.Errorf("%s although both peers can be reached", s)
	}
}
