// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"
)

// The tests of this file run alone, as those of fast mode do.

// testBeat is the longest: its lease of 90 ms outlasts what a busy machine does to a daemon with real-time priority.
// How much shorter a beat may be on a machine is BenchmarkFast's to say.
const testBeat = 30 * time.Millisecond

// beating returns the usual group with a beat.
func beating(advskew int, beat time.Duration) lab.NodeConfig {
	return withExtra(oneVIP(advskew), fmt.Sprintf("beat = %q\n", beat))
}

// beatDown returns the longest that a BACKUP waits for the beats of its master: three, and less than one by its rank.
func beatDown(beat time.Duration) time.Duration { return 4 * beat }

// states waits until a sniffer has seen an advert from its host with a beat, and returns when that left.
func states(s *lab.Sniffer, beat time.Duration) time.Time {
	return s.Await(patience, fmt.Sprintf("an advert that states a beat of %v", beat), func(f lab.Frame) bool {
		a, ok := f.Advert()
		return ok && f.FromHost && a.VHID == vhid && a.Beat == beat
	}).At
}

// countsBeats is a condition of [lab.Node.WaitFor]. In its first second a BACKUP hears beats and does not count them.
func countsBeats(beat time.Duration) func(g lab.GroupStatus) bool {
	return func(g lab.GroupStatus) bool {
		return g.State == lab.Backup && g.Master != nil && g.Master.BeatSeconds == beat.Seconds() &&
			time.Since(g.Since) > time.Second+2*testBeat
	}
}

// A master that dies is replaced after three of its beats, and its advbase decides about nothing but who it is. The
// backup's own beat is another one: it counts when that is master, and both nodes name the difference.
func TestBeatFailover(t *testing.T) {
	const shorter = testBeat - 5*time.Millisecond
	p := newPair(t, beating(0, testBeat), beating(100, shorter))
	asShipped(t, p.a, p.b)
	p.startNaturally()
	for _, n := range []*lab.Node{p.a, p.b} {
		p.Eventually(patience, 50*time.Millisecond, func() (bool, string) {
			out := n.MustCTL("peers")
			return strings.Contains(out, "beat is"), "peers name the beats:\n" + out
		})
	}
	for round := range 3 {
		p.b.WaitFor(group, "counts the beats of a", patience, countsBeats(testBeat))
		pinger := p.client.Ping(vip, 2*time.Millisecond)
		pinger.AwaitAnswer(time.Now(), patience)
		from := p.portB.Sniff()
		killed := p.a.Kill9()
		first := from.FirstSpeaking(killed, patience, vip, vmac)
		p.b.WaitAnswering(group, patience)
		states(from, shorter)
		pinger.AwaitAnswer(first.At, patience)
		r := pinger.Stop()
		t.Logf("round %d: taken over %v after kill -9", round, first.At.Sub(killed))
		assertGap(t, r, killed, beatDown(testBeat)+500*time.Millisecond)
		p.a.Start()
		p.a.WaitAnswering(group, patience)
		p.b.WaitState(group, lab.Backup, patience)
	}
}

// A reload that switches the beat on, off, longer or shorter on either node moves nothing, and the adverts follow it.
func TestBeatReloadMovesNothing(t *testing.T) {
	p := newPair(t, oneVIP(0), oneVIP(100))
	asShipped(t, p.a, p.b)
	p.startNaturally()
	a, b := p.a.Group(group), p.b.Group(group)
	backup := p.portB.Sniff()
	pinger := p.client.Ping(vip, 5*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)
	for _, beat := range []time.Duration{testBeat, testBeat / 2, testBeat, 0, testBeat} {
		for _, n := range []struct {
			*lab.Node
			skew int
		}{{p.a, 0}, {p.b, 100}} {
			n.WriteConfig(beating(n.skew, beat))
			if out := n.MustCTL("plan"); !strings.Contains(out, "No virtual IP would move") {
				t.Errorf("a plan of a beat of %v: %s", beat, out)
			}
			from := p.portA.Sniff()
			if out := n.MustCTL("reload"); out != "reloaded: changed "+group+"\n" {
				t.Errorf("reload to a beat of %v: %s", beat, out)
			}
			since := states(from, beat)
			time.Sleep(time.Second)
			spacing := max(beat, 1)
			if beat == 0 {
				spacing = time.Second
			}
			sent := from.Frames().FromHost().After(since).Adverts(vhid)
			if least := int(time.Second / spacing / 2); len(sent) < least {
				t.Errorf("%d adverts in a second with a beat of %v, want at least %d", len(sent), beat, least)
			}
			from.Close()
			if n.Node == p.a {
				p.b.WaitFor(group, "hears the beat", patience, countsBeats(beat))
			}
		}
	}
	assertUnmoved(t, map[*lab.Node]lab.GroupStatus{p.a: a, p.b: b})
	if spoken := backup.Frames().FromHost().Speaking(vip, vmac); len(spoken) > 0 {
		t.Errorf("the backup spoke for the VIP:\n%v", spoken)
	}
	if r := pinger.Stop(); r.Gap > 200*time.Millisecond+r.Allowance() || r.Doubles > 0 {
		t.Errorf("client: %v", r)
	}
}

// A restart of the MASTER's vipd takes longer than three beats, and moves nothing: it states its interval before.
func TestBeatRestartMovesNothing(t *testing.T) {
	p := newPair(t, beating(0, testBeat), beating(100, testBeat))
	asShipped(t, p.a, p.b)
	p.startNaturally()
	p.b.WaitFor(group, "counts the beats of a", patience, countsBeats(testBeat))
	for range 2 {
		restarted(t, p)
		p.b.WaitFor(group, "counts the beats of a again", patience, countsBeats(testBeat))
	}
}

// A segment that lets a part of the multicast through costs one flap, which is named. Then the node waits twice the
// pause, and not as long as without a beat, also when the master dies. That it ends is shown by agent/sim.
func TestPolicedBeatsCostOneFlap(t *testing.T) {
	p := newPair(t, beating(0, testBeat), beating(100, testBeat))
	asShipped(t, p.a, p.b)
	p.startNaturally()
	p.b.WaitFor(group, "counts the beats of a", patience, countsBeats(testBeat))
	before, heard := transitions(p.b), p.b.Group(group).Counters.Received
	p.segment.NFT(
		"add table bridge police",
		"add chain bridge police forward { type filter hook forward priority 0; }",
		fmt.Sprintf("add rule bridge police forward oifname %s ip protocol %d limit rate over 4/second burst 1 packets drop",
			p.portB.Name, lab.ProtoCARP),
	)
	p.b.WaitFor(group, "distrusts the beats of a", patience, func(g lab.GroupStatus) bool { return g.BeatDistrust != nil })
	g := p.b.WaitFor(group, "is BACKUP again", patience, hearsMaster)
	if g.BeatDistrust == nil || g.BeatDistrust.Address != addrA.String() || g.BeatDistrust.Times != 1 {
		t.Fatalf("distrust: %+v", g.BeatDistrust)
	}
	wait := time.Duration(g.BeatDistrust.WaitSeconds * float64(time.Second))
	if wait < 2*beatDown(testBeat) || wait > masterDown/2 {
		t.Errorf("waits %v, and an advert arrives every 250 ms", wait)
	}
	flapped := transitions(p.b)
	if flapped != before+2 {
		t.Errorf("%.0f transitions, want 2: MASTER and back", flapped-before)
	}
	time.Sleep(5 * time.Second)
	if now := transitions(p.b); now != flapped {
		t.Errorf("%.0f more transitions", now-flapped)
	}
	// The master went on with its beats, and most of them were lost.
	sent, got := p.portA.Sniff(), p.b.Group(group).Counters.Received
	time.Sleep(2 * time.Second)
	n, arrived := len(sent.Frames().FromHost().Adverts(vhid)), p.b.Group(group).Counters.Received-got
	if n < 40 || arrived == 0 || arrived > 20 || got == heard {
		t.Errorf("%d adverts sent and %d heard in two seconds, %d before: the test proves nothing", n, arrived, got-heard)
	}
	if g := p.a.Group(group); g.State != lab.Master {
		t.Errorf("a is %s (%s)", g.State, g.Reason)
	}
	if m := p.b.Metrics(); metric(m, `vipd_beat_distrusted{interface="eth0",vhid="1"}`) != 1 {
		t.Error("no metric names it")
	}
	if code, out := p.b.CTL("doctor", "--for", "1"); code != 4 || !strings.Contains(out, "beat_distrusted") {
		t.Errorf("doctor: exit code %d\n%s", code, out)
	}
	if out := p.b.MustCTL("why", group); !strings.Contains(out, "beats of "+addrA.String()+" were missing") {
		t.Errorf("why: %s", out)
	}
	from := p.portB.Sniff()
	killed := p.a.Kill9()
	took := from.FirstSpeaking(killed, patience, vip, vmac).At.Sub(killed)
	t.Logf("taken over %v after kill -9, with a wait of %v", took, wait)
	if took < wait-350*time.Millisecond || took > wait+testBeat+500*time.Millisecond {
		t.Errorf("taken over %v after kill -9, with a wait of %v", took, wait)
	}
}

// A live ucarp beside a master with a beat follows it by its own timers, and a node with a beat follows ucarp by
// ucarp's.
func TestUCARPBesideABeat(t *testing.T) {
	u := newUCARPPair(t, beating(0, testBeat), lab.UCARP{AdvSkew: 50})
	asShipped(t, u.node)
	u.startMaster()
	u.startUCARP()
	sniffer := u.otherPort.Sniff()
	time.Sleep(5 * time.Second) // longer than its master-down time
	if got := lab.UCARPState(u.peer); got == lab.Master {
		t.Fatalf("ucarp is %s beside our master:\n%s", got, u.peer.Output())
	}
	if heard := sniffer.Frames().ToHost().Adverts(vhid); len(heard) < 80 {
		t.Errorf("only %d adverts in five seconds: the test proves nothing", len(heard))
	}
	u.assertServed(t)
	killed := u.node.Kill9()
	u.waitUCARP(lab.Master, skewed(50)+ucarpGrid)
	if took := time.Since(killed); took < masterDown-time.Second {
		t.Errorf("ucarp took over after %v: it did not keep its own timer", took)
	}
	u.assertServed(t)
	u.node.Start() // preempts
	u.node.WaitAnswering(group, patience)
	u.waitUCARP(lab.Backup, time.Second+ucarpGrid)
	u.assertServed(t)
	if g := u.node.Group(group); g.Counters.Received == 0 || g.Counters.Rejected["bad_hmac"] > 0 {
		t.Errorf("ucarp's adverts: %+v", g.Counters)
	}
}

func TestWithABeatWeFollowUCARP(t *testing.T) {
	u := newUCARPPair(t, beating(50, testBeat), lab.UCARP{Preempt: true})
	asShipped(t, u.node)
	u.startUCARP()
	u.waitUCARP(lab.Master, patience)
	u.node.Start()
	since := u.node.WaitFor(group, "hears ucarp", patience, func(g lab.GroupStatus) bool {
		return g.State == lab.Backup && g.Master != nil && g.Master.Address == addrB.String() && g.Master.BeatSeconds == 0
	}).Since
	time.Sleep(5 * time.Second)
	if g := u.node.Group(group); g.State != lab.Backup || !sameTime(g.Since, since) {
		t.Fatalf("we are %s since %v beside ucarp's master", g.State, g.Since)
	}
	u.assertServed(t)
	sniffer := u.port.Sniff()
	killed := u.peer.Kill9()
	u.other.DelAddress("eth0", vip.String()+"/32") // a killed ucarp leaves it
	if took := sniffer.FirstSpeaking(killed, patience, vip, vmac).At.Sub(killed); took < masterDown-time.Second {
		t.Errorf("taken over after %v: ucarp has no beat", took)
	}
	u.node.WaitAnswering(group, patience)
	states(sniffer, testBeat)
	u.startUCARP() // preempts
	u.waitUCARP(lab.Master, 2*time.Second+ucarpGrid)
	if g := u.node.WaitState(group, lab.Backup, patience); g.Reason != "better_advert" {
		t.Errorf("we gave way for the reason %q, want better_advert", g.Reason)
	}
	u.assertServed(t)
}
