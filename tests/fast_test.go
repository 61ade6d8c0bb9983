// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"
)

// The tests of this file run alone: a lease of 100 to 150 ms does not outlast the start of other tests' daemons, which
// have the same real-time priority on the same CPUs.

// fast returns the usual group with advbase 0: an interval of advskew/256 s.
func fast(advskew int) lab.NodeConfig {
	return withExtra(oneVIP(advskew), "advbase = 0\n")
}

// fastDown returns the longest that a backup waits: three of the master's intervals and its own rank.
func fastDown(master, own int) time.Duration {
	return time.Duration(3*master+own) * time.Second / 256
}

// The gap after kill -9 of a fast master is in the order of three of its intervals. Nothing else of the node's load may
// be in it: the limit leaves a busy machine half a second.
func TestFastFailover(t *testing.T) {
	const master, backup = 13, 26 // 51 ms and 102 ms
	p := newPair(t, fast(master), fast(backup))
	asShipped(t, p.a, p.b)
	p.startNaturally()
	for round := range 3 {
		pinger := p.client.Ping(vip, 2*time.Millisecond)
		pinger.AwaitAnswer(time.Now(), patience)
		from := p.portB.Sniff()
		killed := p.a.Kill9()
		first := from.FirstSpeaking(killed, patience, vip, vmac)
		p.b.WaitAnswering(group, patience)
		pinger.AwaitAnswer(first.At, patience)
		r := pinger.Stop()
		t.Logf(
			"round %d: taken over %v after kill -9, at most %v expected",
			round,
			first.At.Sub(killed),
			fastDown(master, backup),
		)
		assertGap(t, r, killed, fastDown(master, backup)+500*time.Millisecond)
		p.a.Start()
		p.a.WaitAnswering(group, patience)
		p.b.WaitState(group, lab.Backup, patience)
	}
}

// A MASTER that was killed and started again has its addresses back at once, under the programs that it left, and then
// loads its own. On a host with one CPU, which the kernel's verifier has for longer than a lease, it keeps them.
func TestFastMasterLoadsItsProgramsWithoutAPause(t *testing.T) {
	const master, backup = 8, 26 // 31 ms, a lease of 93 ms, and 102 ms
	p := newPair(t, fast(master), fast(backup))
	cpus, err := lab.CPUs()
	if err != nil {
		t.Fatal(err)
	}
	p.a.Replace(started(t, bin(t), fmt.Sprintf("taskset -c %d chrt -r 55", cpus[0])))
	asShipped(t, p.b)
	p.startNaturally()
	for round := range 3 {
		p.a.Kill9()
		p.b.WaitAnswering(group, patience)
		before := len(history(t, p.b))
		a := p.a.Launch()
		p.b.WaitState(group, lab.Backup, patience)
		p.a.WaitAnswering(group, patience) // it serves clients when its programs are loaded
		if !strings.Contains(a.Output(), "programs exchanged") {
			t.Fatalf("round %d: a did not go on under the programs that it had left:\n%s", round, a.Output())
		}
		if h := history(t, p.b)[before:]; len(h) != 1 || h[0].To != lab.Backup {
			t.Errorf("round %d: b took over again while a loaded its programs: %+v\n%s", round, h, p.a.MustCTL("history"))
		}
	}
}

// Three fast nodes: when the master dies exactly one of the others takes over, and no two ever speak for the VIP.
func TestThreeFastNodesNeverHaveTwoMasters(t *testing.T) {
	require(t, needNetNS, needBPF)
	l := lab.New(t)
	segment := l.NewSegment("lan")
	client := l.NewHost("client")
	segment.Join(client, "eth0", addrClient.String()+"/24")
	var nodes []*lab.Node
	var sniffers []*lab.Sniffer
	skews := []int{13, 20, 27}
	for i, skew := range skews {
		h := l.NewHost(string(rune('a' + i)))
		port := segment.Join(h, "eth0", fmt.Sprintf("192.0.2.%d/24", 11+i))
		nodes, sniffers = append(nodes, h.NewNode(bin(t), fast(skew))), append(sniffers, port.Sniff())
	}
	asShipped(t, nodes...)
	for _, n := range nodes {
		n.Launch()
	}
	nodes[0].WaitAnswering(group, upTimeout)
	began := []time.Time{time.Now()} // of each reign, by its first word
	time.Sleep(time.Second)
	for _, n := range nodes[1:] {
		n.WaitState(group, lab.Backup, patience)
	}
	pinger := client.Ping(vip, 5*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)

	for i, n := range nodes[:2] {
		killed := n.Kill9()
		first := sniffers[i+1].FirstSpeaking(killed, patience, vip, vmac)
		began = append(began, first.At)
		t.Logf("%s took over from %s after %v", nodes[i+1].Name, n.Name, first.At.Sub(killed))
		time.Sleep(time.Second)
	}
	ended := time.Now()
	if r := pinger.Stop(); r.Doubles > 0 {
		t.Errorf("client: %v", r)
	}
	for i := range nodes { // the reign of node i
		end := ended
		if i+1 < len(began) {
			end = began[i+1]
		}
		for j, s := range sniffers {
			spoken := s.Frames().FromHost().After(began[i].Add(-1)).Before(end).Speaking(vip, vmac)
			if i == j && len(spoken) < 5 {
				t.Errorf("node %d spoke %d times while it was to be master: the test proves nothing", j, len(spoken))
			}
			if i != j && len(spoken) > 0 {
				t.Errorf("node %d spoke while node %d was to be master:\n%v", j, i, spoken)
			}
		}
	}
}

// A fast backup that was stopped for five seconds, sixty of its down times, has no evidence: no transition.
func TestFastBackupStoppedMakesNoTransition(t *testing.T) {
	p := newPair(t, fast(13), fast(20))
	asShipped(t, p.a, p.b)
	p.startNaturally()
	time.Sleep(500 * time.Millisecond)
	a, b := p.a.Group(group), p.b.Group(group)
	sniffer := p.portB.Sniff()
	p.b.Pause()
	time.Sleep(5 * time.Second)
	p.b.Resume()
	time.Sleep(time.Second)
	assertUnmoved(t, map[*lab.Node]lab.GroupStatus{p.a: a, p.b: b})
	if spoken := sniffer.Frames().FromHost().Speaking(vip, vmac); len(spoken) > 0 {
		t.Errorf("the backup spoke for the VIP:\n%v", spoken)
	}
	if heard := sniffer.Frames().ToHost().Adverts(vhid); len(heard) < 80 {
		t.Errorf("only %d adverts reached the backup: the test proves nothing", len(heard))
	}
}

// A fast master that was stopped past its lease is silent by itself, and its successor is the only owner when it comes
// back.
func TestFastMasterStoppedFallsSilent(t *testing.T) {
	p := newPair(t, noPreempt(fast(13)), noPreempt(fast(26)))
	asShipped(t, p.a, p.b)
	p.startNaturally()
	old, successor := p.portA.Sniff(), p.portB.Sniff()
	paused := p.a.Pause()
	took := successor.FirstSpeaking(paused, patience, vip, vmac)
	t.Logf("taken over %v after", took.At.Sub(paused))
	time.Sleep(2 * time.Second)
	if n := len(p.clientPort.AnswersARP(addrClient, vip, 100*time.Millisecond)); n != 1 {
		t.Errorf("%d answers for the VIP, want 1", n)
	}
	p.a.Resume()
	p.a.WaitState(group, lab.Backup, patience)
	time.Sleep(time.Second)
	if spoken := old.Frames().FromHost().After(took.At).Speaking(vip, vmac); len(spoken) > 0 {
		t.Errorf("the old master spoke for the VIP after the takeover:\n%v", spoken)
	}
	if g := p.b.Group(group); g.State != lab.Master {
		t.Errorf("the successor is %s (%s)", g.State, g.Reason)
	}
}
