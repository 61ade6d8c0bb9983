// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/peers"
	"vipd/agent/view"
	"vipd/agent/wire"
	"vipd/loader"
)

// vipdAdvert is an advert of a better node that has a trailer.
func (b *bench) vipdAdvert(g string) loader.Event {
	ev := b.advert(g, 0)
	ev.Proven = true
	return ev
}

// follow lets time pass in steps of 50 ms while each group hears its master every second. It returns the hellos that
// were sent meanwhile.
func (b *bench) follow(d time.Duration, proven bool) []wire.HelloFrame {
	const step = 50 * time.Millisecond
	b.reports = nil
	for at := time.Duration(0); at < d; at += step {
		if at%time.Second == 0 {
			for _, g := range b.groups.order {
				ev := b.advert(g.name, 0)
				ev.Proven = proven
				b.ring = append(b.ring, ev)
			}
		}
		b.pass(step)
	}
	return b.reports
}

// hello lets the kernel accept a hello of a peer now.
func (b *bench) hello(g, from string, h wire.Hello) {
	b.t.Helper()
	gr := b.group(g)
	h.VHID, h.Number = gr.cfg.VHID, uint64(b.now)
	payload, err := h.AppendBinary(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.hellos = append(b.hellos, loader.HelloEvent{
		At: b.now, IfIndex: gr.iface.link.Index, VHID: gr.cfg.VHID, Slot: gr.entry.plane.Slot(),
		Src: netip.MustParseAddr(from), SrcMAC: [6]byte{2, 0, 0, 0, 0, 2}, Payload: payload,
	})
}

func (b *bench) shownOf(g string) *view.Group { return b.group(g).shown.Live().Now() }

// standbys returns the names of those that readers see.
func (b *bench) standbys(g string) []string {
	var out []string
	for _, p := range peers.Standbys(b.shownOf(g).Peers, election.Instant(b.now)) {
		out = append(out, p.Hello.Node)
	}
	return out
}

func fw2() wire.Hello {
	return wire.Hello{
		State: wire.HelloBackup, AdvBase: 1, AdvSkew: 100, EffectiveAdvBase: 1, EffectiveAdvSkew: 100,
		TakesOverIn: 3390 * time.Millisecond, Node: "fw2", Version: api.Version,
	}
}

// A BACKUP reports to a MASTER that has proven itself, about every 3 s, to the virtual MAC and from its own.
func TestBackupReportsToProvenMaster(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	sent := b.follow(30*time.Second, true)
	if len(sent) < 10 || len(sent) > 12 {
		t.Errorf("%d hellos in 30 s", len(sent))
	}
	for _, f := range sent {
		h := f.Hello
		if f.Src != netip.MustParseAddr("192.0.2.11") || f.Dst != netip.MustParseAddr("192.0.2.12") ||
			f.DstMAC != wire.VirtualMAC(1) || f.SrcMAC == f.DstMAC || h.State != wire.HelloBackup || h.Answer ||
			h.Node != "fw1" || h.TakesOverIn != 3*time.Second || h.VHID != 1 || !h.Complete ||
			!slices.Equal(h.Addresses, []netip.Addr{netip.MustParseAddr("192.0.2.100")}) {
			t.Fatalf("hello %+v", f)
		}
	}
	for i := 1; i < len(sent); i++ {
		if sent[i].Hello.Number <= sent[i-1].Hello.Number {
			t.Error("the numbers of hellos do not rise")
		}
	}
	if v := b.shownOf("eth0@1"); !v.MasterProven || v.Peers != nil {
		t.Errorf("proven %v, peers %v", v.MasterProven, v.Peers)
	}
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
	// It is silent, and then this node is MASTER.
	b.reports = nil
	for range 100 {
		b.pass(100 * time.Millisecond)
	}
	b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
	if len(b.reports) > 1 {
		t.Errorf("%d hellos to a dead MASTER", len(b.reports))
	}
}

// A unicast peer gets hellos the way it gets adverts: a router takes no frames to the virtual MAC.
func TestReportsToAUnicastPeer(t *testing.T) {
	g := testGroup("eth0", 1, "192.0.2.100/24")
	master := netip.MustParseAddr("192.0.2.12")
	g.Peers = []netip.Addr{master}
	b := newBench(t, g)
	way, err := fakeHost{b}.Neighbour(0, master)
	if err != nil {
		t.Fatal(err)
	}
	sent := b.follow(4*time.Second, true)
	if len(sent) == 0 {
		t.Fatal("no hello")
	}
	for _, f := range sent {
		if f.Dst != master || f.DstMAC != way || f.DstMAC == wire.VirtualMAC(1) {
			t.Errorf("hello %+v, want it to go to %x", f, way)
		}
	}
}

// Many groups of an interface report the more rarely, and say so, so that a MASTER hears 16 in 3 s; where few are left
// that report to it, they do so as often as if they were alone.
func TestManyGroupsReportRarely(t *testing.T) {
	const many, few, turn = 64, 4, 250 * time.Millisecond
	var groups []config.Group
	for vhid := uint8(1); vhid <= many; vhid++ {
		groups = append(groups, testGroup("eth0", vhid, fmt.Sprintf("192.0.2.%d/24", 100+vhid)))
	}
	b := newBench(t, groups...)
	other := netip.MustParseAddr("192.0.2.13")
	// hear lets the groups hear their masters for a time: the first ones fw2, those from the vhid on a better one.
	hear := func(d time.Duration, others uint8, each func(wire.HelloFrame)) {
		t.Helper()
		for at := time.Duration(0); at < d; at += turn {
			for _, g := range b.groups.order {
				if ev := b.vipdAdvert(g.name); at%time.Second == 0 {
					if g.cfg.VHID > others {
						ev.Src = other
					}
					b.ring = append(b.ring, ev)
				}
			}
			b.reports = nil
			b.pass(turn)
			for _, f := range b.reports {
				each(f)
			}
		}
	}
	hear(20*time.Second, many, func(wire.HelloFrame) {}) // each reports at once, and then in its turn

	count, last := map[uint8]int{}, b.now
	hear(24*time.Second, many, func(f wire.HelloFrame) {
		if count[f.Hello.VHID]++; f.Hello.Every != 12*time.Second {
			t.Errorf("hello %+v", f.Hello)
		}
		if gap := time.Duration(b.now - last); gap > view.HelloPeriod {
			t.Errorf("no hello for %v", gap)
		}
		last = b.now
	})
	for _, g := range groups {
		if n := count[g.VHID]; n < 1 || n > 3 {
			t.Errorf("%s: %d hellos in 24 s", g.Name(), n)
		}
	}

	// The MASTER's process is another one, which knows nothing of what they reported.
	answer := fw2()
	answer.State, answer.Answer, answer.Every = wire.HelloMaster, true, 12*time.Second
	for _, c := range []struct {
		run   uint8
		again bool
	}{{1, false}, {1, false}, {2, true}} {
		clear(count)
		answer.Run = c.run
		b.hello("eth0@1", "192.0.2.12", answer)
		hear(2500*time.Millisecond, many, func(f wire.HelloFrame) { count[f.Hello.VHID]++ })
		if again := len(count) == many; again != c.again || !again && len(count) > many/2 {
			t.Errorf("%d groups of %d report in 2.5 s after an answer of run %d", len(count), many, c.run)
		}
	}

	clear(count)
	_, _ = Commands{b.Loop}.AddDemotion(api.Demotion{Name: "work", Value: 50}, 0)
	hear(5*time.Second, many, func(f wire.HelloFrame) { count[f.Hello.VHID]++ })
	for _, g := range groups {
		if n := count[g.VHID]; n != 2 && n != 3 {
			t.Errorf("%s: %d hellos in 5 s after a change; the first may be lost", g.Name(), n)
		}
	}

	hear(5*time.Second, few, func(wire.HelloFrame) {})
	clear(count)
	hear(9*time.Second, few, func(f wire.HelloFrame) {
		if count[f.Hello.VHID]++; f.Hello.VHID <= few && f.Hello.Every != view.HelloPeriod {
			t.Errorf("hello of one of few %+v", f.Hello)
		}
	})
	for vhid := uint8(1); vhid <= few; vhid++ {
		if n := count[vhid]; n < 2 || n > 4 {
			t.Errorf("vhid %d, one of few: %d hellos in 9 s", vhid, n)
		}
	}
}

// A count of the groups postpones no report that is due for a change.
func TestCountPostponesNoReport(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.follow(5*time.Second, true)
	g, now := b.group("eth0@1"), election.Instant(b.now)
	gr := &g.greeting
	for _, c := range []struct{ due, want election.Instant }{
		{now.Add(time.Millisecond), now.Add(time.Millisecond)},
		{now.Add(48 * time.Second), peers.Due(gr.last, now, false, gr.phase, view.HelloPeriod)},
	} {
		gr.every = 48 * time.Second
		b.groups.reports.put(&gr.report, g, c.due)
		if g.iface.countReports(now); gr.report.at != c.want || gr.every != view.HelloPeriod {
			t.Errorf("due in %v instead of %v, every %v", gr.report.at.Sub(now), c.want.Sub(now), gr.every)
		}
	}
}

// A group that reports rarely is a standby as long as the node says anything over the interface.
func TestStandbyThatReportsRarely(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"), testGroup("eth0", 2, "192.0.2.101/24"),
		testGroup("eth1", 1, "198.51.100.1/24"))
	b.master()
	rare := fw2()
	rare.Every = 48 * time.Second
	for _, g := range b.groups.order {
		b.hello(g.name, "192.0.2.12", rare)
	}
	b.reports = nil
	if b.pass(0); len(b.reports) != 3 || b.reports[0].Hello.Every != rare.Every {
		t.Errorf("answers %+v", b.reports)
	}
	for range 40 {
		b.pass(time.Second)
		b.hello("eth0@2", "192.0.2.12", fw2())
	}
	if got := b.standbys("eth0@1"); !slices.Equal(got, []string{"fw2"}) {
		t.Errorf("standbys %v of a group whose node speaks in another", got)
	}
	if got := b.standbys("eth1@1"); got != nil {
		t.Errorf("standbys %v of an interface on which the node is silent", got)
	}
	for range 10 {
		b.pass(time.Second)
	}
	if got := b.standbys("eth0@1"); got != nil {
		t.Errorf("standbys %v of a node that is silent", got)
	}
}

// No other implementation ever gets a hello.
func TestNoHelloToAMasterWithoutTrailer(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"), testGroup("eth0", 2, "192.0.2.101/24"))
	if sent := b.follow(30*time.Second, false); len(sent) > 0 || b.shownOf("eth0@1").MasterProven {
		t.Errorf("hellos to a BSD: %+v", sent)
	}
	if sent := b.follow(4*time.Second, true); len(sent) == 0 || !b.shownOf("eth0@1").MasterProven {
		t.Error("no hello to a vipd either")
	}
	// The operator replaces it by a BSD at the same address, or an attacker takes the trailer off.
	if sent := b.follow(30*time.Second, false); len(sent) > 0 || b.shownOf("eth0@1").MasterProven {
		t.Errorf("hellos to one that was a vipd: %+v", sent)
	}
	// A BSD claims while vipd's adverts are still known: the newest one decides.
	b.ring = append(b.ring, b.vipdAdvert("eth0@1"))
	b.now += 1000
	bsd := b.advert("eth0@1", 0)
	bsd.Src = netip.MustParseAddr("192.0.2.13")
	b.ring = append(b.ring, bsd)
	b.reports = nil
	if b.pass(2 * time.Second); len(b.reports) > 0 {
		t.Errorf("hellos beside a BSD: %+v", b.reports)
	}
	b.ring = append(b.ring, b.goodbye("eth0@1"))
	if b.pass(time.Second); len(b.reports) > 0 {
		t.Errorf("hellos to one that has said goodbye: %+v", b.reports)
	}
}

func (b *bench) goodbye(g string) loader.Event {
	ev := b.vipdAdvert(g)
	ev.AdvBase, ev.AdvSkew = election.GoodbyeValue, election.GoodbyeValue
	return ev
}

// The kernel withholds what repeats: the MASTER lives all the same.
func TestReportsWhileAdvertsAreWithheld(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.ring = append(b.ring, b.vipdAdvert("eth0@1"))
	b.pass(0)
	b.reports = nil
	for i := range 300 {
		if i%10 == 0 {
			b.repeat("eth0@1", uint64(i))
		}
		b.pass(100 * time.Millisecond)
	}
	if n := len(b.reports); n < 9 || n > 11 {
		t.Errorf("%d hellos in 30 s", n)
	}
}

// What a node says is told at once when it changes, but at most once per second.
func TestChangesAreToldAtOnce(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	for _, c := range []struct {
		name string
		do   func(Commands)
		told func(wire.Hello) bool
	}{
		{
			"demoted",
			func(c Commands) { _, _ = c.AddDemotion(api.Demotion{Name: "work", Value: 50}, 0) },
			func(h wire.Hello) bool {
				return h.Demotion == 50 && h.EffectiveAdvSkew == 50 && slices.Equal(h.Demotions, []string{"work"})
			},
		},
		{
			"in maintenance",
			func(c Commands) { c.SetMaintenance(true, startDay) },
			func(h wire.Hello) bool {
				return h.Maintenance && h.EffectiveAdvSkew == election.MaxSkew && len(h.Demotions) == 2
			},
		},
		{
			"disabled",
			func(c Commands) { c.SetDisabled(true) },
			func(h wire.Hello) bool {
				return h.Disabled && h.State == wire.HelloInit && h.TakesOverIn == wire.NeverTakesOver
			},
		},
		{
			"enabled",
			func(c Commands) { c.SetDisabled(false) },
			func(h wire.Hello) bool { return !h.Disabled && h.State == wire.HelloBackup },
		},
	} {
		b.follow(4*time.Second, true)
		for b.group("eth0@1").greeting.last.Add(time.Second) > election.Instant(b.now) {
			b.follow(time.Second, true)
		}
		c.do(Commands{b.Loop})
		b.reports = nil
		b.pass(0)
		if len(b.reports) != 1 || !c.told(b.reports[0].Hello) {
			t.Errorf("%s: told %+v", c.name, b.reports)
		}
	}
	// Something else every 50 ms.
	b.follow(time.Second, true)
	b.reports = nil
	for i := range 100 {
		if i%20 == 0 {
			b.ring = append(b.ring, b.vipdAdvert("eth0@1"))
		}
		_, _ = Commands{b.Loop}.AddDemotion(api.Demotion{Name: "work", Value: i}, 0)
		b.pass(50 * time.Millisecond)
	}
	if n := len(b.reports); n < 4 || n > 6 {
		t.Errorf("%d hellos in 5 s of changes", n)
	}
}

// A MASTER answers each hello, at most once per second and peer, and no answer.
func TestMasterAnswers(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	b.reports = nil
	for range 25 { // five per second, against the rule
		b.hello("eth0@1", "192.0.2.12", fw2())
		b.pass(200 * time.Millisecond)
	}
	if n := len(b.reports); n < 5 || n > 6 {
		t.Errorf("%d answers in 5 s", n)
	}
	for _, f := range b.reports {
		if f.DstMAC != [6]byte{2, 0, 0, 0, 0, 2} || f.Dst != netip.MustParseAddr("192.0.2.12") || !f.Hello.Answer ||
			f.Hello.State != wire.HelloMaster || f.Hello.TakesOverIn != 0 {
			t.Fatalf("answer %+v", f)
		}
	}
	b.reports = nil
	answer := fw2()
	answer.State, answer.Answer = wire.HelloMaster, true
	b.hello("eth0@1", "192.0.2.13", answer)
	if b.pass(time.Second); len(b.reports) > 0 {
		t.Errorf("an answer is answered: %+v", b.reports)
	}
	b.hello("eth0@1", "192.0.2.14", fw2())
	b.hellos[0].Slot++ // of a group that was removed meanwhile
	if b.pass(time.Second); len(b.reports) > 0 || len(b.shownOf("eth0@1").Peers) != 2 {
		t.Errorf("a hello to another group: %+v", b.shownOf("eth0@1").Peers)
	}
}

// Readers of the MASTER see what its standbys say, and since when they say nothing.
func TestStandbysAsReadersSeeThem(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	say := func(change func(*wire.Hello)) view.Peer {
		t.Helper()
		h := fw2()
		change(&h)
		b.hello("eth0@1", "192.0.2.12", h)
		b.pass(time.Second)
		list := b.shownOf("eth0@1").Peers
		if len(list) != 1 || list[0].Addr != netip.MustParseAddr("192.0.2.12") {
			t.Fatalf("peers %+v", list)
		}
		return list[0]
	}
	expect := func(what string, want ...string) {
		t.Helper()
		if got := b.standbys("eth0@1"); !slices.Equal(got, want) {
			t.Errorf("%s: standbys %v, want %v", what, got, want)
		}
	}
	say(func(*wire.Hello) {})
	expect("a standby", "fw2")
	demoted := say(func(h *wire.Hello) { h.Demotion, h.EffectiveAdvSkew, h.Demotions = 140, 240, []string{"check:web"} })
	if expect("demoted", "fw2"); demoted.Hello.Demotions[0] != "check:web" {
		t.Errorf("demoted: %+v", demoted)
	}
	say(func(h *wire.Hello) { h.Disabled, h.State, h.TakesOverIn = true, wire.HelloInit, wire.NeverTakesOver })
	expect("disabled")
	say(func(*wire.Hello) {})
	expect("enabled", "fw2")

	// It hangs or dies. The MASTER goes on, and nothing is published for that.
	for range 9 {
		b.pass(time.Second)
	}
	if expect("silent for 10 s"); len(b.shownOf("eth0@1").Peers) != 1 {
		t.Error("forgotten at once")
	}
	for range 10 {
		b.pass(time.Minute)
	}
	if list := b.shownOf("eth0@1").Peers; list != nil {
		t.Errorf("after ten minutes: %+v", list)
	}
}

// What differs from this node's own config is found by what both nodes say.
func TestDifferencesOfAStandby(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	Commands{b.Loop}.SetMaintenance(true, startDay)
	ours := peers.Self(b.View(), b.shownOf("eth0@1"))
	other := ours
	other.State, other.Node, other.Version, other.AdvBase, other.Preempt = wire.HelloBackup, "fw2", "0", 2, !ours.Preempt
	other.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.101")}
	other.List, other.Key = wire.ListFingerprint(other.Addresses), ours.Key+1
	b.hello("eth0@1", "192.0.2.12", other)
	b.pass(0)
	var got []string
	for _, d := range peers.Differences(&ours, &b.shownOf("eth0@1").Peers[0].Hello) {
		got = append(got, d.What)
	}
	want := []string{
		peers.Addresses, peers.Password, peers.AdvBase, peers.Preempt, peers.Version, peers.Maintenance,
	}
	if !slices.Equal(got, want) {
		t.Errorf("differences %v, want %v", got, want)
	}
	if len(b.reports) != 1 || b.reports[0].Hello.Key != ours.Key || b.reports[0].Hello.List != ours.List {
		t.Errorf("the answer says %+v, this node says %+v", b.reports, ours)
	}
}

// A peer that sent a hello, or a trailer in an earlier run, is known for longer than what it said: only then is a
// MASTER without a standby worth an alert.
func TestPeerThatIsLongSilentIsKnown(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	now := func() *view.Group { return b.group("eth0@1").shown.Live().Now() }
	b.pass(5 * time.Second)
	if now().HasPeer {
		t.Error("a node that never heard another has a peer")
	}
	b.hello("eth0@1", "192.0.2.12", fw2())
	b.pass(time.Second)
	if !now().HasPeer || len(now().Peers) != 1 {
		t.Errorf("after a hello: peer %v, %d of them", now().HasPeer, len(now().Peers))
	}
	b.pass(view.PeerKept + time.Minute)
	b.group("eth0@1").publish()
	if !now().HasPeer || len(now().Peers) != 0 {
		t.Errorf("after long silence: peer %v, %d of them", now().HasPeer, len(now().Peers))
	}
}

// A peer refuses two hellos within a second, also if the first one was an answer and the second one is a report because
// the roles changed in between.
func TestNoTwoHellosToAPeerWithinASecond(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	claim := func() {
		ev := b.advert("eth0@1", 0)
		ev.Proven, ev.AdvBase = true, 0
		ev.AdvSkew = 100
		b.ring = append(b.ring, ev)
	}
	var sent []time.Duration
	answers := 0
	step := func() {
		b.reports = nil
		b.pass(50 * time.Millisecond)
		for _, f := range b.reports {
			sent = append(sent, time.Duration(b.now))
			if f.Hello.Answer {
				answers++
			}
		}
	}
	for i := range 400 { // the other node is MASTER for a second and a half in every six, and reports when it is not
		switch phase := i % 120; {
		case phase > 90 && i%4 == 0:
			claim()
		case phase < 90 && i%20 == 1:
			b.hello("eth0@1", "192.0.2.12", fw2())
		}
		step()
	}
	for i := 1; i < len(sent); i++ {
		if gap := sent[i] - sent[i-1]; gap < peers.MinGap-100*time.Millisecond {
			t.Errorf("two hellos within %v", gap)
		}
	}
	if answers < 3 || answers > len(sent)-3 {
		t.Errorf("%d hellos, %d of them answers", len(sent), answers)
	}
}

// Hellos decide nothing: with and without them each machine hears the same, and the node does the same at the same
// times. Half a minute of a standby, a takeover, and the return of the MASTER.
func TestHellosDecideNothing(t *testing.T) {
	play := func(with bool) (states []election.View, done []string, hellos int) {
		b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
		for i := range 600 {
			if silent := i >= 200 && i < 400; i%10 == 0 && !silent {
				ev := b.advert("eth0@1", 0)
				ev.Proven, ev.Counter = true, uint64(i)
				b.ring = append(b.ring, ev)
			}
			if with && i%7 == 0 {
				h := fw2()
				h.State, h.EffectiveAdvSkew, h.Answer = wire.HelloMaster, 0, i%2 == 0
				b.hello("eth0@1", "192.0.2.12", h)
				b.hello("eth0@1", "192.0.2.13", fw2())
			}
			b.pass(100 * time.Millisecond)
			states = append(states, b.group("eth0@1").machine.View())
		}
		return states, b.drain(), len(b.reports)
	}
	wantStates, want, _ := play(false)
	states, done, sent := play(true)
	for i := range states {
		if !reflect.DeepEqual(states[i], wantStates[i]) {
			t.Fatalf("after %d ms\n with hellos %+v\n without     %+v", 100*(i+1), states[i], wantStates[i])
		}
	}
	slices.Sort(done) // a takeover and its end touch several addresses, in any order
	slices.Sort(want)
	if !slices.Equal(done, want) {
		t.Errorf("with hellos %q\nwithout %q", done, want)
	}
	if masters := slices.IndexFunc(states, func(v election.View) bool { return v.State == election.Master }); sent < 20 ||
		masters < 0 || states[599].State != election.Backup {
		t.Errorf("%d hellos; MASTER at %d; at the end %s", sent, masters, states[599].State)
	}
}

// A hello that cannot be sent is of no consequence.
func TestRefusedHello(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.sendErr = errRefused
	if sent := b.follow(10*time.Second, true); len(sent) < 3 {
		t.Errorf("%d hellos were tried", len(sent))
	}
	if b.ledger.total() != 0 || b.shownOf("eth0@1").HostFault != "" || b.group("eth0@1").shown.Live().Failed() != 0 {
		t.Errorf("demotion %d", b.ledger.total())
	}
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
}

// Over which family a group reports: IPv4 if the MASTER has proven itself there and both nodes have an address.
func TestFamilyOfReports(t *testing.T) {
	ll, master6 := netip.MustParsePrefix("fe80::11/64"), netip.MustParseAddr("fe80::12")
	for _, c := range []struct {
		name           string
		own            []netip.Prefix
		heard4, heard6 bool
		want           string
	}{
		{"both", []netip.Prefix{netip.MustParsePrefix("192.0.2.11/24"), ll}, true, true, "192.0.2.11 to 192.0.2.12"},
		{"IPv6 heard", []netip.Prefix{netip.MustParsePrefix("192.0.2.11/24"), ll}, false, true, "fe80::11 to fe80::12"},
		{"no IPv4 address here", []netip.Prefix{ll}, true, true, "fe80::11 to fe80::12"},
		{"no address here", nil, true, false, ""},
	} {
		b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24", "2001:db8::100/64"))
		b.own = c.own
		b.readAddresses()
		b.syncInterfaces()
		if c.heard4 {
			b.ring = append(b.ring, b.vipdAdvert("eth0@1"))
		}
		if c.heard6 {
			ev := b.vipdAdvert("eth0@1")
			ev.Src = master6
			ev.Counter++
			b.ring = append(b.ring, ev)
		}
		b.reports = nil
		b.pass(0)
		got := ""
		if len(b.reports) == 1 {
			got = fmt.Sprintf("%s to %s", b.reports[0].Src, b.reports[0].Dst)
		}
		if got != c.want {
			t.Errorf("%s: %d hellos, %q, want %q", c.name, len(b.reports), got, c.want)
		}
	}
	// One that sends from 0.0.0.0 cannot be reported to.
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	ev := b.vipdAdvert("eth0@1")
	ev.Src = netip.IPv4Unspecified()
	b.ring = append(b.ring, ev)
	if b.pass(0); len(b.reports) > 0 {
		t.Errorf("hello to no address: %+v", b.reports)
	}
}

// Many groups share the turns: a bounded part of what is due leaves in each, and all within the period.
func TestHellosOfManyGroups(t *testing.T) {
	const n, perTurn = 1400, batchSize * batchesPerTurn
	var groups []config.Group
	for i := range n {
		ifname := fmt.Sprintf("eth%d", i/250)
		groups = append(groups, testGroup(ifname, uint8(i%250+1), fmt.Sprintf("198.51.%d.%d/24", i/250, i%250+1)))
	}
	b := newBench(t, groups...)
	hear := func() {
		for _, g := range groups {
			b.ring = append(b.ring, b.vipdAdvert(g.Name()))
		}
	}
	hear()
	b.calls = nil
	b.pass(0)
	if len(b.reports) != perTurn || slices.Max(b.calls) > batchSize {
		t.Errorf("%d hellos in the first turn, want %d; batches of %v", len(b.reports), perTurn, b.calls)
	}
	if at := b.nextHello(election.Instant(b.now)); at != election.Instant(b.now).Add(hellosPause) {
		t.Errorf("the next turn is after %v", at.Sub(election.Instant(b.now)))
	}
	if b.pass(hellosPause / 2); len(b.reports) != perTurn {
		t.Errorf("%d hellos before the next turn", len(b.reports))
	}
	b.pass(hellosPause / 2)
	b.pass(hellosPause)
	to := map[string]int{}
	for _, f := range b.reports {
		to[f.Hello.Addresses[0].String()]++
	}
	if len(to) != n || len(b.reports) != n {
		t.Errorf("%d hellos of %d groups, want one of each of %d", len(b.reports), len(to), n)
	}
	// Then each at its own phase, after 4 s at most, and from then on only 16 of an interface within 3 s.
	most, all := 0, [2]int{}
	for i := range 28 {
		hear()
		b.reports = nil
		b.pass(hellosPause)
		most = max(most, len(b.reports))
		all[i/16] += len(b.reports)
	}
	if fewer := 16 * n / 250; most > n/6 || all[0] < n || all[1] < fewer/2 || all[1] > fewer*3/2 {
		t.Errorf("at most %d hellos in a turn, %d in 4 s, then %d in 3 s; want %d, then %d", most, all[0], all[1], n, fewer)
	}

	b.master()
	b.reports = nil
	for _, g := range groups {
		b.hello(g.Name(), "192.0.2.12", fw2())
	}
	if b.pass(0); len(b.reports) != perTurn {
		t.Errorf("%d answers in the first turn, want %d", len(b.reports), perTurn)
	}
	for range 10 {
		b.pass(hellosPause)
	}
	if len(b.reports) != n || b.nextHello(election.Instant(b.now)) != 0 {
		t.Errorf("%d answers, want %d", len(b.reports), n)
	}
}

// A group that is removed, or whose interface goes, reports no more.
func TestNoReportsWithoutInterface(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	if sent := b.follow(4*time.Second, true); len(sent) == 0 {
		t.Fatal("no hello")
	}
	down := fakeLink("eth0")
	down.Up = false
	b.links["eth0"] = down
	b.readLinks()
	b.syncInterfaces()
	if b.pass(10 * time.Second); len(b.groups.reports.byDeadline) > 0 || b.nextHello(election.Instant(b.now)) != 0 {
		t.Error("a hello is due")
	}
}

// A node whose interface has no address but the VIP exchanges no hellos, and readers get to know that.
func TestNoHelloWithoutAnAddress(t *testing.T) {
	for _, tt := range []struct {
		name string
		vips []string
		own  []netip.Prefix
		none bool
		sent bool // to a MASTER that is heard by IPv4
	}{
		{"none", []string{"192.0.2.100/24"}, nil, true, false},
		{"IPv4", []string{"192.0.2.100/24"}, []netip.Prefix{netip.MustParsePrefix("192.0.2.11/24")}, false, true},
		{"of the other family", []string{"192.0.2.100/24"}, []netip.Prefix{linkLocal}, true, false},
		{"of one of two families", []string{"192.0.2.100/24", "2001:db8::100/64"}, []netip.Prefix{linkLocal}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, testGroup("eth0", 1, tt.vips...))
			b.own = tt.own
			b.syncInterfaces()
			b.pass(0)
			if got := b.shownOf("eth0@1").NoAddress; got != tt.none {
				t.Errorf("without an address: %v", got)
			}
			if sent := b.follow(10*time.Second, true); (len(sent) > 0) != tt.sent {
				t.Errorf("%d hellos in 10 s", len(sent))
			}
			list, err := b.operator.Peers(t.Context())
			if err != nil || slices.Equal(list.NoAddress, []string{"eth0@1"}) != tt.none {
				t.Errorf("%+v, %v", list, err)
			}
		})
	}
}

// stranger lets the kernel report a vipd node whose adverts are for another list of addresses.
func (b *bench) stranger(g, from string, number uint64) {
	gr := b.group(g)
	b.hellos = append(b.hellos, loader.HelloEvent{
		At: b.now, IfIndex: gr.iface.link.Index, VHID: gr.cfg.VHID, Slot: gr.entry.plane.Slot(),
		Src: netip.MustParseAddr(from), SrcMAC: wire.VirtualMAC(gr.cfg.VHID), Number: number,
	})
}

// A node that has another list of addresses gets a hello with a number above its own, from a MASTER and from a BACKUP,
// and its answer shows the difference. Nothing of the election changes.
func TestHelloToANodeWithAnotherList(t *testing.T) {
	const them = "192.0.2.12"
	var b *bench
	for _, state := range []election.State{election.Backup, election.Master} {
		b = newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
		if state == election.Master {
			b.master()
		}
		before := b.group("eth0@1").machine.View()
		b.reports = nil
		number := b.sequence.Last() + 1_000_000
		b.stranger("eth0@1", them, number)
		b.pass(50 * time.Millisecond)
		if len(b.reports) != 1 {
			t.Fatalf("%s: %d hellos", state, len(b.reports))
		}
		f := b.reports[0]
		if f.Dst != netip.MustParseAddr(them) || f.DstMAC != wire.VirtualMAC(1) || f.Hello.Answer ||
			f.Hello.Number <= number || f.Hello.State != wire.HelloState(state) {
			t.Errorf("%s: hello %+v", state, f)
		}
		after := b.group("eth0@1").machine.View()
		if after.Lease = before.Lease; before != after {
			t.Errorf("%s: the machine was %+v, is %+v", state, before, after)
		}
		b.pass(time.Second)
	}
	h := fw2()
	h.State, h.Answer, h.Complete = wire.HelloMaster, true, true
	h.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.200")}
	h.List = wire.ListFingerprint(h.Addresses)
	b.hello("eth0@1", them, h)
	b.reports = nil
	b.pass(time.Second)
	if len(b.reports) != 0 {
		t.Errorf("an answer is answered: %+v", b.reports)
	}
	list, err := b.operator.Peers(t.Context())
	if err != nil || len(list.Peers) != 1 || len(list.Peers[0].Groups) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	said := ""
	for _, d := range list.Peers[0].Groups[0].Differences {
		if d.Code == api.DiffersAddresses {
			said = d.Text
		}
	}
	if !strings.Contains(said, "only fw2 has 192.0.2.200") || !strings.Contains(said, "only this node has 192.0.2.100") {
		t.Errorf("difference %q", said)
	}
	// Its own MAC is known now.
	b.stranger("eth0@1", them, b.sequence.Last())
	b.pass(time.Second)
	if len(b.reports) != 1 || b.reports[0].DstMAC == wire.VirtualMAC(1) {
		t.Errorf("another hello: %+v", b.reports)
	}
}
