// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"vipd/agent/wire"
	"vipd/tests/lab"
)

// captured returns a copy of an advert as an attacker sends it again: from its own port and with other values.
func captured(f lab.Frame, from *lab.Port, change func(ip, carp []byte)) []byte {
	b := bytes.Clone(f.Data)
	copy(b[6:12], from.MAC[:])
	if change == nil {
		change = func(_, _ []byte) {}
	}
	return rewrite(b, change)
}

// stripped returns one without its trailer: the digest covers none of the values.
func stripped(f lab.Frame, from *lab.Port, change func(ip, carp []byte)) []byte {
	f.Data = cut(bytes.Clone(f.Data), 36)
	return captured(f, from, change)
}

// stating gives an advert another priority.
func stating(advbase, advskew, demote byte) func(ip, carp []byte) {
	return func(_, carp []byte) { carp[2], carp[4], carp[5] = advskew, demote, advbase }
}

// bothSpoke brings p up and makes each node master once, so that there are adverts of both to capture; a is MASTER
// then.
func (p *pair) bothSpoke() (ofA, ofB lab.Frames) {
	p.Helper()
	fromA, fromB := p.portA.Sniff(), p.portB.Sniff()
	p.startNaturally()
	time.Sleep(1500 * time.Millisecond)
	p.a.Stop()
	p.b.WaitAnswering(group, time.Second)
	time.Sleep(1500 * time.Millisecond)
	p.a.Start()
	p.a.WaitAnswering(group, patience)
	p.b.WaitState(group, lab.Backup, patience)
	time.Sleep(1500 * time.Millisecond)
	notGoodbye := func(f lab.Frame) bool { ad, _ := f.Advert(); return !ad.Goodbye() }
	return fromA.Frames().
			FromHost().
			Adverts(vhid).
			Where(notGoodbye),
		fromB.Frames().
			FromHost().
			Adverts(vhid).
			Where(notGoodbye)
}

// Between vipd nodes a captured advert moves nothing, whatever it is made to say and whoever it is made to come from,
// with and without its trailer. The digest of every one of them is good.
func TestReplayedAdvertsMoveNothingBetweenVipdNodes(t *testing.T) {
	t.Parallel()
	for _, required := range []bool{false, true} {
		extra := fmt.Sprintf("require_trailer = %v\n", required)
		p := newPair(t, withExtra(oneVIP(10), extra), withExtra(oneVIP(20), extra))
		ofA, ofB := p.bothSpoke()
		if len(ofA) < 3 || len(ofB) < 2 {
			t.Fatalf("captured %d and %d adverts", len(ofA), len(ofB))
		}
		a, b := p.a.Group(group), p.b.Group(group)
		pinger := p.client.Ping(vip, 10*time.Millisecond)
		pinger.AwaitAnswer(time.Now(), patience)
		attacker := p.clientPort.Injector()
		from := func(src netip.Addr) func(ip, carp []byte) {
			return func(ip, carp []byte) {
				copy(ip[12:16], src.AsSlice())
				stating(1, 0, 0)(ip, carp)
			}
		}
		changes := []func(ip, carp []byte){
			nil,                  // as it was
			stating(1, 0, 0),     // better than both
			stating(255, 255, 0), // the master leaves
			stating(1, 240, 240), // the master is demoted
			stating(4, 0, 0),     // it will time out
			from(addrA),
			from(addrB),
		}
		sent := uint64(0)
		send := func(frame []byte) {
			attacker.Send(frame)
			sent++
			time.Sleep(20 * time.Millisecond)
		}
		for _, f := range []lab.Frame{ofA[0], ofA[len(ofA)-1], ofB[0], ofB[len(ofB)-1]} {
			for _, change := range changes {
				send(captured(f, p.clientPort, change))
				send(stripped(f, p.clientPort, change))
			}
			send(captured(f, p.clientPort, from(addrClient)))
			send(captured(f, p.clientPort, from(netip.IPv4Unspecified())))
			if required { // else see TestStrippedAdvertOfAStrangerIsObeyed
				send(stripped(f, p.clientPort, from(addrClient)))
				send(stripped(f, p.clientPort, from(netip.IPv4Unspecified())))
			}
		}
		refusedBy := func(got, was lab.GroupStatus) (refused uint64) {
			for _, reason := range []string{"replay", "loop", "bad_trailer"} {
				refused += got.Counters.Rejected[reason] - was.Counters.Rejected[reason]
			}
			return refused
		}
		for node, was := range map[*lab.Node]lab.GroupStatus{p.a: a, p.b: b} {
			got := node.WaitFor(group, "refuses all of them", patience, func(g lab.GroupStatus) bool {
				return refusedBy(g, was) >= sent
			})
			if got.State != was.State || !sameTime(got.Since, was.Since) {
				t.Errorf("required %v: %s is %s (%s) since %v, was %s since %v",
					required, node.Name, got.State, got.Reason, got.Since, was.State, was.Since)
			}
			r := got.Counters.Rejected
			t.Logf("required %v: %s refused all of %d: %v", required, node.Name, sent, r)
			if refusedBy(got, was) != sent || r["replay"] == 0 || r["bad_trailer"] == 0 {
				t.Errorf("required %v: %s refused %d of %d: %v", required, node.Name, refusedBy(got, was), sent, r)
			}
			if r["bad_hmac"] > 0 {
				t.Errorf("required %v: %d were bad: the test proves nothing", required, r["bad_hmac"])
			}
		}
		if r := pinger.Stop(); r.Lost > 0 {
			t.Errorf("required %v: client: %v", required, r)
		}
	}
}

// What was captured before a restart, of either side, moves nothing after it.
func TestCapturesOutliveNoRestart(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(10), oneVIP(20))
	ofA, ofB := p.bothSpoke()
	if len(ofA) < 3 || len(ofB) < 2 {
		t.Fatalf("captured %d and %d adverts", len(ofA), len(ofB))
	}
	attacker := p.clientPort.Injector()
	p.b.Stop() // it comes back without anything in the kernel
	p.b.Start()
	p.b.WaitFor(group, "hears its master", patience, hearsMaster)
	p.a.Stop()
	p.b.WaitAnswering(group, patience)
	was := p.b.Group(group)
	sent := uint64(0)
	for _, f := range append(ofA, ofB...) {
		for _, frame := range [][]byte{
			captured(f, p.clientPort, nil), stripped(f, p.clientPort, nil), stripped(f, p.clientPort, stating(1, 0, 0)),
		} {
			attacker.Send(frame)
			sent++
			time.Sleep(5 * time.Millisecond)
		}
	}
	got := p.b.WaitFor(group, "refuses all of them", patience, func(g lab.GroupStatus) bool {
		r := g.Counters.Rejected
		return r["replay"]+r["bad_trailer"]+r["loop"] >= sent
	})
	if got.State != lab.Master || !sameTime(got.Since, was.Since) || got.Counters.Received != was.Counters.Received {
		t.Errorf("of %d captures %d were received: %s (%s) since %v, was MASTER since %v; refused %v", sent,
			got.Counters.Received-was.Counters.Received, got.State, got.Reason, got.Since, was.Since, got.Counters.Rejected)
	}
	// The other one is heard at once all the same.
	p.a.Start()
	p.a.WaitAnswering(group, patience)
	p.b.WaitState(group, lab.Backup, patience)
}

// require_trailer refuses an advert without a trailer, and the pair works as any other.
func TestRequireTrailerRefusesWhatHasNone(t *testing.T) {
	t.Parallel()
	const required = "require_trailer = true\n"
	p := newPair(t, withExtra(oneVIP(0), required), withExtra(oneVIP(10), required))
	p.startNaturally()
	a, b := p.a.Group(group), p.b.Group(group)
	stranger := newPeer(p.clientPort, addrClient)
	stranger.goodbye()
	stranger.send(1, 0, 0)
	for node, was := range map[*lab.Node]lab.GroupStatus{p.a: a, p.b: b} {
		got := node.WaitFor(group, "refuses two", patience,
			func(g lab.GroupStatus) bool { return g.Counters.Rejected["bad_trailer"] == 2 })
		if got.State != was.State || !sameTime(got.Since, was.Since) {
			t.Errorf("%s is %s (%s)", node.Name, got.State, got.Reason)
		}
	}
	killed := p.a.Kill9()
	first := p.portB.Sniff().FirstSpeaking(killed, patience, vip, vmac)
	t.Logf("taken over %v after kill -9", first.At.Sub(killed))
	p.a.Start()
	p.a.WaitAnswering(group, patience)
	p.b.WaitState(group, lab.Backup, patience)
}

// In a group that admits other implementations, a captured advert without its trailer is obeyed from an address that
// no vipd node has (docs/authentication.md, threat model): a known weakness of CARP. Were this test to fail, it would
// be gone, and the document wrong.
func TestStrippedAdvertOfAStrangerIsObeyed(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(10), oneVIP(20))
	ofA, _ := p.bothSpoke()
	change := func(ip, carp []byte) {
		copy(ip[12:16], addrClient.AsSlice())
		stating(1, 0, 0)(ip, carp)
	}
	p.clientPort.Injector().Send(stripped(ofA[len(ofA)-1], p.clientPort, change))
	p.a.WaitState(group, lab.Backup, patience)
}

// An operator replaces a vipd node by another implementation at its address: that is believed once the node is
// forgotten.
func TestPeerIsForgotten(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(10), oneVIP(20))
	p.startNaturally()
	p.b.WaitFor(group, "hears its master", patience, hearsMaster)
	p.a.Stop()
	p.b.WaitAnswering(group, patience)
	successor := newPeer(p.clientPort, addrA)
	for p.b.Group(group).Counters.Rejected["bad_trailer"] == 0 {
		successor.send(1, 0, 0)
		time.Sleep(100 * time.Millisecond)
	}
	if g := p.b.Group(group); g.State != lab.Master {
		t.Errorf("it is %s (%s)", g.State, g.Reason)
	}
	t.Log(p.b.MustCTL("peer", "forget", addrA.String()))
	successor.send(1, 0, 0)
	p.b.WaitState(group, lab.Backup, patience)
	if code, out := p.b.CTL("peer", "forget", addrA.String()); code == 0 {
		t.Errorf("it was forgotten twice: %s", out)
	}
}

// A captured advert of ucarp is obeyed under any priority (docs/authentication.md, threat model): a known weakness of
// CARP.
// Were this test to fail, it would be gone, and the document wrong.
func TestCapturedUCARPAdvertIsObeyed(t *testing.T) {
	t.Parallel()
	u := newUCARPPair(t, oneVIP(50), lab.UCARP{})
	u.startUCARP()
	u.waitUCARP(lab.Master, patience)
	u.node.Start()
	u.node.WaitFor(group, "hears ucarp", patience, hearsMaster)
	capture := u.otherPort.Sniff().Await(patience, "an advert of ucarp", func(f lab.Frame) bool {
		_, ok := f.Advert()
		return ok && f.FromHost
	})
	u.clientPort.Injector().Send(captured(capture, u.clientPort, stating(255, 255, 0)))
	if g := u.node.WaitState(group, lab.Master, patience); g.Reason != "goodbye" {
		t.Errorf("MASTER for the reason %q", g.Reason)
	}
}

// replay = "strict" refuses a capture of a peer that counts, and tolerates OpenBSD's constant and ucarp's random
// counters.
func TestStrictReplay(t *testing.T) {
	t.Parallel()
	counters := map[string]func(i int) uint64{
		"rising":   func(i int) uint64 { return 1<<40 + uint64(i) },
		"constant": func(int) uint64 { return 0x1234_5678_9abc_def0 },
		"random":   func(i int) uint64 { return (uint64(i) + 1) * 0x9e37_79b9_7f4a_7c15 },
	}
	for _, mode := range []string{"off", "strict"} {
		for name, counter := range counters {
			t.Run(fmt.Sprintf("%s, %s", mode, name), func(t *testing.T) {
				t.Parallel()
				s := newSingle(t, withExtra(oneVIP(50), "replay = \""+mode+"\"\n"))
				s.node.Start()
				s.node.WaitState(group, lab.Backup, patience)
				p := newPeer(s.clientPort, addrClient)
				say := func(i int, base, skew uint8) {
					p.injector.Send(p.build(func(f *wire.AdvertFrame) {
						f.Advert.AdvBase, f.Advert.AdvSkew, f.Advert.Counter = base, skew, counter(i)
					}))
				}
				const adverts = 6
				for i := range adverts {
					say(i, 1, 0)
					time.Sleep(time.Second)
				}
				g := s.node.Group(group)
				if g.State != lab.Backup || g.Counters.Received != adverts || g.Counters.Rejected["replay"] > 0 {
					t.Fatalf("%s, received %d of %d, %v", g.State, g.Counters.Received, adverts, g.Counters.Rejected)
				}
				say(2, 255, 255) // a capture
				if mode == "strict" && name == "rising" {
					g = s.node.WaitFor(
						group,
						"counts a replay",
						patience,
						func(g lab.GroupStatus) bool { return g.Counters.Rejected["replay"] == 1 },
					)
					if g.State != lab.Backup {
						t.Errorf("it is %s (%s)", g.State, g.Reason)
					}
					return
				}
				if g := s.node.WaitState(group, lab.Master, patience); g.Reason != "goodbye" { // the weakness
					t.Errorf("it is MASTER for the reason %q, want goodbye", g.Reason)
				}
			})
		}
	}
}

// ucarp's counters pass a strict node: as master, as backup, and after it has adopted ours.
func TestUCARPPassesStrictReplay(t *testing.T) {
	t.Parallel()
	u := newUCARPPair(t, withExtra(oneVIP(50), "replay = \"strict\"\n"), lab.UCARP{Preempt: true})
	u.startUCARP()
	u.waitUCARP(lab.Master, patience)
	u.node.Start()
	u.node.WaitFor(group, "hears ucarp", patience, hearsMaster)
	time.Sleep(4 * time.Second)
	u.peer.Kill9()
	u.other.DelAddress("eth0", vip.String()+"/32") // a killed ucarp leaves it: its fault, not ours
	u.node.WaitAnswering(group, patience)
	u.startUCARP()
	u.waitUCARP(lab.Master, 2*time.Second+ucarpGrid)
	u.node.WaitState(group, lab.Backup, patience)
	since := u.node.Group(group).Since
	time.Sleep(6 * time.Second)
	g := u.node.Group(group)
	if g.State != lab.Backup || !sameTime(g.Since, since) || g.Counters.Rejected["replay"] > 0 ||
		g.Counters.Received < 10 {
		t.Errorf("we are %s since %v, received %d, %v", g.State, g.Since, g.Counters.Received, g.Counters.Rejected)
	}
}
