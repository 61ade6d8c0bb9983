// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/config"
	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/loader"
)

// Design I1: role with lease 0, addresses, advert, lease, announcement. Nothing
// answers before the advert is out.
func TestPromotionOrder(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
	b.pass(2999 * time.Millisecond)
	b.expect()
	b.pass(time.Millisecond)
	b.expect(
		"priority 10@1 1/0",
		"role 10@1 MASTER generation 1 lease none",
		"add virtual mac",
		"add 192.0.2.100 to 10",
		"record sent 10@1",
		"advert 1/0 from 192.0.2.11",
		"role 10@1 MASTER generation 1 lease 2.97s",
		"gratuitous arp",
	)
	for range 2 { // again after one and after two adverts
		b.pass(time.Second)
		b.expect(
			"record sent 10@1", "advert 1/0 from 192.0.2.11",
			"role 10@1 MASTER generation 1 lease 2.97s", "gratuitous arp",
		)
	}
	b.pass(time.Second)
	b.expect(
		"record sent 10@1", "advert 1/0 from 192.0.2.11",
		"role 10@1 MASTER generation 1 lease 2.97s",
	)
}

// The host was busy for longer than the promotion's window: it opens again, unless
// somebody has spoken meanwhile, or it was busy for too long.
func TestSlowHostDelaysAPromotion(t *testing.T) {
	for _, tt := range []struct {
		name  string
		slow  time.Duration
		wants int // roles written before the advert
	}{
		{"within the window", 80 * time.Millisecond, 1},
		{"past it", 300 * time.Millisecond, 2},
		{"much too long", 2 * time.Second, 1},
	} {
		b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
		b.slow = tt.slow
		b.pass(3 * time.Second)
		log := b.drain()
		roles := 0
		for _, line := range log[:slices.Index(log, "record sent 10@1")] {
			if line == "role 10@1 MASTER generation 1 lease none" {
				roles++
			}
		}
		if roles != tt.wants {
			t.Errorf("%s: role written %d times, want %d:\n%q", tt.name, roles, tt.wants, log)
		}
	}

	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.slow = 300 * time.Millisecond
	b.planes["10@1"].seen = loader.Seen{YieldedGeneration: 1}
	b.pass(3 * time.Second)
	if log := b.drain(); slices.Contains(log, "advert 1/0 from 192.0.2.11") {
		t.Errorf("spoke after it had yielded:\n%q", log)
	}
}

func TestRouteOnlyForAPrefixOfItsOwn(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "198.51.100.1/24"))
	b.pass(3 * time.Second)
	if log := b.drain(); len(log) < 5 || log[4] != "add route 198.51.100.0/24" {
		t.Errorf("no route to the prefix of the VIP: %q", log)
	}
	b.links["eth0"] = netio.Link{Index: 10, Name: "eth0", Ethernet: true}
	b.syncInterfaces()
	b.expect(
		"role 10@1 INIT generation 1 lease none",
		"del virtual mac",
		"del route 198.51.100.0/24",
		"del 198.51.100.1 from 10",
	)
}

// Design I3: a batch of ten seconds is read before the timer of the sleeper is
// looked at, and the newest advert decides.
func TestSleeperReadsItsMailFirst(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	for range 10 {
		b.now += second
		b.ring = append(b.ring, b.advert("eth0@1", 0))
	}
	b.pass(500 * time.Millisecond)
	b.expect()
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
	// The witness: the same sleep with nothing heard since ends in a takeover.
	b.pass(2500 * time.Millisecond)
	b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
}

// Design I3: the ring was full, but the kernel's record has the advert.
func TestFullRingHidesNoMaster(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.now += 2 * second
	seen := &b.planes["10@1"].seen
	seen.Event, seen.Count = b.advert("eth0@1", 0), 1
	b.pass(time.Second)
	b.expect()
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
	b.pass(2 * time.Second)
	b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
}

// A late agent looks again before it takes over.
func TestLateAgentExtends(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.pass(3500 * time.Millisecond)
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
	b.pass(time.Second)
	b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
}

// Design I2: the kernel has yielded, the ring said nothing: no advert leaves.
func TestYieldIsReadBeforeSending(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	b.now += second / 2
	p := b.planes["10@1"]
	p.seen.Event, p.seen.Count, p.seen.YieldedGeneration = b.advert("eth0@1", 0), 1, 1
	p.seen.Yielded, p.seen.Generation = true, 1
	b.pass(500 * time.Millisecond)
	b.expect("role 10@1 BACKUP generation 1 lease none", "del virtual mac", "del 192.0.2.100 from 10")
	b.expectState("eth0@1", election.Backup, election.ReasonEqualAdvert)
}

// The same when the yield comes between the batch and the send.
func TestYieldBetweenBatchAndSend(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	b.now += second
	b.catchUp()
	p := b.planes["10@1"]
	p.seen.Event, p.seen.Count, p.seen.YieldedGeneration = b.advert("eth0@1", 0), 1, 1
	p.seen.Yielded, p.seen.Generation = true, 1
	b.tick()
	b.expect("role 10@1 BACKUP generation 1 lease none", "del virtual mac", "del 192.0.2.100 from 10")
}

// Design I3: nothing is said on an older state than that which the kernel knows, also when the promotion of the group
// before took its time.
func TestNoClaimIsOlderThanTheOneBefore(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"), testGroup("eth1", 1, "198.51.100.1/32"))
	b.slow = 50 * time.Millisecond // so that the second is not late, which would save it
	b.during = func() {
		b.during = nil
		heard := b.advert("eth1@1", 0)
		b.ring = append(b.ring, heard)
		b.planes["11@1"].seen.Event, b.planes["11@1"].seen.Count = heard, 1
	}
	b.pass(3 * time.Second)
	b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
	if state := b.group("eth1@1").machine.State(); state != election.Backup {
		t.Errorf("the second is %s", state)
	}
	if sent := adverts(b.drain()); len(sent) != 1 {
		t.Errorf("adverts %q, want the first one's claim", sent)
	}
	if g := b.group("eth1@1"); len(g.onHost.addresses) > 0 || g.onHost.placing.active {
		t.Errorf("the second has %v on the host", g.onHost.addresses)
	}
}

// Groups whose turn comes late, since others of the same loop came first, take over nevertheless: the loop has looked
// for adverts all the while. After a pause it does not know what it missed, and the late ones wait once more.
func TestLateBehindOthers(t *testing.T) {
	const n = 200
	for _, c := range []struct {
		name    string
		pause   time.Duration // while the third adverts leave
		masters int
	}{
		{name: "at work", masters: n},
		{name: "paused for less than is a pause", pause: 20 * time.Millisecond, masters: n},
		{name: "paused", pause: 300 * time.Millisecond, masters: 3 * maxClaims},
	} {
		var groups []config.Group
		for i := range n {
			groups = append(groups, testGroup("eth0", uint8(i+1), fmt.Sprintf("198.51.100.%d/32", i+1)))
		}
		b := newBench(t, groups...)
		calls := 0
		b.sending = func([]netio.Frame) {
			b.now += int64(25 * time.Millisecond)
			if calls++; calls == 3 {
				b.now += int64(c.pause)
			}
		}
		began := b.now
		b.pass(3 * time.Second)
		if took := time.Duration(b.now-began) - 3*time.Second; took < 300*time.Millisecond {
			t.Errorf("%s: no group was late: %v", c.name, took)
		}
		masters := 0
		for _, g := range b.groups.order {
			if g.machine.State() == election.Master {
				masters++
			}
		}
		if masters != c.masters {
			t.Errorf("%s: %d of %d groups have taken over, want %d", c.name, masters, n, c.masters)
		}
	}
}

// An advert that came between the batch and the new role finds a BACKUP in the kernel,
// which yields to nothing: the agent sees it in the record and claims nothing.
func TestAdvertBetweenBatchAndRole(t *testing.T) {
	for _, tt := range []struct {
		skew   uint8
		claims bool
	}{{0, false}, {1, true}} {
		b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
		b.now += 3 * second
		b.catchUp()
		seen := &b.planes["10@1"].seen
		seen.Event, seen.Count = b.advert("eth0@1", tt.skew), 1
		b.tick()
		claimed := slices.Contains(b.drain(), "advert 1/0 from 192.0.2.11")
		state := b.group("eth0@1").machine.View().State
		if claimed != tt.claims || (state == election.Master) != tt.claims {
			t.Errorf("skew %d: claimed %v, %s", tt.skew, claimed, state)
		}
		if answering, _ := b.planes["10@1"].Answering(b.now); answering != tt.claims {
			t.Errorf("skew %d: answering %v", tt.skew, answering)
		}
		if on := len(b.group("eth0@1").onHost.addresses) > 0; on != tt.claims {
			t.Errorf("skew %d: addresses on the host: %v", tt.skew, on)
		}
		// The ring tells of it once more.
		b.ring = append(b.ring, seen.Event)
		b.pass(0)
		if now := b.group("eth0@1").machine.View().State; now != state {
			t.Errorf("skew %d: %s, was %s", tt.skew, now, state)
		}
	}
}

func TestRefusedClaimIsNoMaster(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.sendErr = errRefused
	b.pass(3 * time.Second)
	b.expectState("eth0@1", election.Backup, election.ReasonSendFailed)
	if answering, _ := b.planes["10@1"].Answering(b.now); answering {
		t.Error("answering after a claim that was never heard")
	}
	if len(b.group("eth0@1").onHost.addresses) != 0 {
		t.Error("addresses left on the host")
	}
}

// A master that was stopped past its lease sends nothing before it knows that
// nobody took over.
func TestExpiredLeaseIsSilent(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	b.now += 6 * second
	b.ring = append(b.ring, b.advert("eth0@1", 100)) // worse than ours, and in office
	b.pass(0)
	b.expect("role 10@1 BACKUP generation 1 lease none", "del virtual mac", "del 192.0.2.100 from 10")
	b.expectState("eth0@1", election.Backup, election.ReasonLeaseExpired)
}

func TestLinkLoss(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"), testGroup("eth1", 1, "198.51.100.1/32"))
	b.master()
	up := b.links["eth0"]
	down := up
	down.Up = false
	b.links["eth0"] = down
	b.syncInterfaces()
	b.expectState("eth0@1", election.Init, election.ReasonLinkDown)
	// The other group is told that the node is worse than it was, at once.
	b.expectState("eth1@1", election.Master, election.ReasonMasterTimeout)
	log := b.drain()
	if want := "advert 1/240 from 192.0.2.11"; !slices.Contains(log, want) {
		t.Errorf("no advert with the demotion: %q", log)
	}
	if st := b.status(); st.Demotion != 240 || len(st.Demotions) != 1 || st.Demotions[0].Name != "link:eth0" {
		t.Errorf("demotions = %+v, want link:eth0 240", st.Demotions)
	}
	b.links["eth0"] = up
	b.syncInterfaces()
	b.expectState("eth0@1", election.Backup, election.ReasonLinkUp)
	if st := b.status(); st.Demotion != 0 {
		t.Errorf("demotion %d after the link came back, want 0", st.Demotion)
	}
}

func TestInterfaceComesAndGoes(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	link := b.links["eth0"]
	b.master()
	delete(b.links, "eth0")
	b.syncInterfaces()
	b.expectState("eth0@1", election.Init, election.ReasonInterfaceMissing)
	if d := b.status().Groups[0].Detail; d == "" {
		t.Error("INIT without a sentence about why")
	}
	renamed := link
	renamed.Name = "wan0"
	b.links["wan0"] = renamed
	b.syncInterfaces()
	b.expectState("eth0@1", election.Init, election.ReasonInterfaceMissing)
	if d := b.status().Groups[0].Detail; !strings.Contains(d, "wan0") {
		t.Errorf("the new name is not in: %s", d)
	}
	if past := b.history.Last("eth0@1", 1).Transitions; len(past) != 1 || past[0].Detail == "" {
		t.Errorf("the history does not say why: %+v", past)
	}
	delete(b.links, "wan0")
	link.Index = 77
	b.links["eth0"] = link
	b.syncInterfaces()
	b.expectState("eth0@1", election.Backup, election.ReasonLinkUp)
	link.Unfit = "interface eth0 is a macvlan in mode bridge"
	b.links["eth0"] = link
	b.syncInterfaces()
	b.expectState("eth0@1", election.Init, election.ReasonAttachFailed)
	if d := b.status().Groups[0].Detail; d != link.Unfit {
		t.Errorf("the status says %q", d)
	}
	link.Unfit = ""
	b.links["eth0"] = link
	b.syncInterfaces()
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
	link.MasterName, link.MasterKind = "br0", "bridge"
	b.links["eth0"] = link
	b.syncInterfaces()
	b.expectState("eth0@1", election.Init, election.ReasonInterfaceEnslaved)
}

// A graceful stop says goodbye and speaks on until the successor does.
func TestStopHandsOver(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	if b.Ending() {
		t.Error("ending before the stop")
	}
	b.releaseAll()
	if !b.Ending() {
		t.Error("not ending after the stop began")
	}
	b.expect("priority 10@1 255/255", "record sent 10@1", "advert 255/255 from 192.0.2.11")
	if b.stopped(b.time(5 * time.Second)) {
		t.Fatal("stopped before anybody took over")
	}
	if answering, _ := b.planes["10@1"].Answering(b.now); !answering {
		t.Error("silent before the successor spoke")
	}
	b.now += second / 100
	b.ring = append(b.ring, b.advert("eth0@1", 100))
	b.pass(0)
	b.expect("role 10@1 INIT generation 1 lease none", "del virtual mac", "del 192.0.2.100 from 10")
	if !b.stopped(b.time(5 * time.Second)) {
		t.Error("not stopped after the successor spoke")
	}
}

func (b *bench) time(after time.Duration) election.Instant { return b.clock.Now().Add(after) }

// Two adverts of one nanosecond are two, if their counters differ: the second says that
// the master is demoted.
func TestTwoAdvertsOfOneMoment(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.pass(time.Second)
	better, demoted := b.advert("eth0@1", 0), b.advert("eth0@1", 200)
	demoted.Counter++
	b.ring = append(b.ring, better, demoted)
	b.pass(0)
	if v := b.group("eth0@1").machine.View(); v.Master.AdvSkew != 200 {
		t.Errorf("last heard is %+v, want the second of the two", v.Master)
	}
}

// A status right after the start says how long the node still waits for a master.
func TestStatusSaysWhenABackupTakesOver(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	at := b.status().Groups[0].TakesOverAt
	if left := at.Sub(b.clock.TimeOfDay()); left <= 0 || left > 3*time.Second {
		t.Errorf("takes over in %v, want the master-down interval of 3 s at most", left)
	}
	b.pass(time.Second)
	if again := b.status().Groups[0].TakesOverAt; !again.Equal(at) {
		t.Errorf("takes over at %v a second later, was %v", again, at)
	}
	for range 30 {
		b.pass(100 * time.Millisecond)
	}
	b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
	if at := b.status().Groups[0].TakesOverAt; !at.IsZero() {
		t.Errorf("a MASTER takes over at %v", at)
	}
}
