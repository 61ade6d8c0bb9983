// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"
)

// restarts returns the ways in which a daemon comes back, by name, in an order.
func restarts(t *testing.T, n *lab.Node) []struct {
	name string
	do   func()
} {
	return []struct {
		name string
		do   func()
	}{
		{"SIGUSR2", func() { leave(t, n); n.Start() }},
		{"kill -9", func() { n.Kill9(); n.Start() }},
		{"kill -9, not adopted", func() { n.Kill9(); n.Cleanup(); n.Start() }},
		{"stop", func() { n.Stop(); n.Start() }},
	}
}

// atRest compares what another node is with what it was.
func atRest(t *testing.T, what string, n *lab.Node, was lab.GroupStatus, moves float64) {
	t.Helper()
	if got := n.Group(group); got.State != was.State || !sameTime(got.Since, was.Since) {
		t.Errorf("%s: %s is %s (%s) since %v, was %s since %v",
			what, n.Name, got.State, got.Reason, got.Since, was.State, was.Since)
	}
	if got := transitions(n); got != moves {
		t.Errorf("%s: %s made %v transitions, had made %v", what, n.Name, got, moves)
	}
}

// A better node whose check fails leaves its worse master alone: at its first start, after every kind of restart, with
// and without what it kept. As soon as the check passes it preempts.
func TestFailingCheckMakesNoTransition(t *testing.T) {
	t.Parallel()
	const target = "192.0.2.50:8443" // on the client
	checked := oneVIP(0)
	checked.Extra = "[[check]]\nname = \"upstream\"\ntype = \"tcp\"\ntarget = \"" + target +
		"\"\ninterval = \"10s\"\ntimeout = \"200ms\"\nrise = 1\nfall = 3\n"
	p := newPair(t, checked, oneVIP(100))
	p.b.Start()
	p.b.WaitAnswering(group, upTimeout)
	b, moves := p.b.Group(group), transitions(p.b)
	sniffer := p.portA.Sniff()
	watch := func(what string) {
		t.Helper()
		started := time.Now()
		for p.a.Status().Demotion != 240 {
			if time.Since(started) > patience {
				t.Fatalf("%s: no verdict after %v: %+v", what, time.Since(started), p.a.Status().Demotions)
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Logf("%s: demoted %v after the start", what, time.Since(started))
		p.a.WaitFor(group, "hears b", patience, hearsMaster)
		time.Sleep(1500 * time.Millisecond) // another advert of b's
		if g := p.a.Group(group); g.State != lab.Backup {
			t.Errorf("%s: a is %s (%s)", what, g.State, g.Reason)
		}
		atRest(t, what, p.b, b, moves)
	}
	p.a.Start()
	watch("first start")
	for _, r := range restarts(t, p.a) {
		r.do()
		watch(r.name)
	}
	p.a.Kill9()
	if err := os.Remove(filepath.Join(p.a.RuntimeDir(), "memory.json")); err != nil {
		t.Fatal(err)
	}
	p.a.Start()
	watch("nothing kept")
	if spoken := sniffer.Frames().FromHost().Speaking(vip, vmac); len(spoken) > 0 {
		t.Errorf("a spoke for the VIP:\n%v", spoken)
	}
	ln := listen(t, p.client, target)
	p.a.WaitAnswering(group, patience) // the control: nothing but the check held it back
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
}

// A demotion by hand and the hold after a handover are there after every kind of restart, and move nothing. A damaged
// file is named and set aside.
func TestDemotionsAndHoldsSurviveARestart(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(100))
	p.start()
	p.a.MustCTL("yield", group)
	p.b.WaitAnswering(group, patience)
	b, moves := p.b.Group(group), transitions(p.b)
	for _, r := range restarts(t, p.a) {
		r.do()
		p.a.WaitFor(group, "hears b", patience, hearsMaster)
		time.Sleep(2500 * time.Millisecond) // two adverts of b's
		if out := p.a.MustCTL("why", group); !strings.Contains(out, "handed over by the operator") {
			t.Errorf("%s: why says nothing of the handover:\n%s", r.name, out)
		}
		atRest(t, r.name, p.b, b, moves)
	}
	p.a.MustCTL("demotion", "add", "upgrade", "240", "--for", "1h", "--reason", "router upgrade")
	p.a.MustCTL("demotion", "add", "short", "5", "--for", "1s")
	for _, r := range restarts(t, p.a) {
		r.do()
		time.Sleep(1200 * time.Millisecond)
		s := p.a.Status()
		if len(s.Demotions) != 1 || s.Demotions[0].Name != "upgrade" || s.Demotions[0].Value != 240 ||
			s.Demotions[0].Reason != "router upgrade" {
			t.Errorf("%s: demotions %+v", r.name, s.Demotions)
		}
	}
	file := filepath.Join(p.a.RuntimeDir(), "memory.json")
	p.a.Kill9()
	if err := os.WriteFile(file, []byte(`{"version":1,"boot`), 0o600); err != nil {
		t.Fatal(err)
	}
	p.a.Start()
	p.a.WaitAnswering(group, patience) // nothing holds it back: the control for both
	if _, err := os.Stat(file + ".damaged"); err != nil || !strings.Contains(p.a.Proc().Output(), file) {
		t.Errorf("not set aside (%v), or not named in the log:\n%s", err, p.a.Proc().Output())
	}
}

// A port that drops everything for some seconds after the start, and after its link came back, hears no claim and sees
// no gratuitous ARP. Without claim_delay the node claims. An owner that was heard is replaced when it leaves, in the
// middle of the delay.
func TestClaimDelayOutlastsABlockedSwitchPort(t *testing.T) {
	t.Parallel()
	const delay = 8 * time.Second
	delayed := oneVIP(0)
	delayed.Carp = "claim_delay = \"8s\"\n"
	p := newPair(t, delayed, oneVIP(100))
	p.b.Start()
	p.b.WaitAnswering(group, upTimeout)
	b, moves := p.b.Group(group), transitions(p.b)
	sniffer := p.portA.Sniff()
	blocked := func(what string, begin func()) {
		t.Helper()
		p.portA.SetConnected(false)
		begin()
		// The delay counts from here: on a busy machine a start takes seconds.
		begun := p.a.WaitFor(group, "waits", upTimeout, func(g lab.GroupStatus) bool { return g.State == lab.Backup }).Since
		if out := p.a.MustCTL("why", group); !strings.Contains(out, "claim_delay") {
			t.Errorf("%s: why does not name claim_delay:\n%s", what, out)
		}
		if out := p.a.MustCTL("status"); !strings.Contains(out, "makes no claim for") {
			t.Errorf("%s: status does not name the delay:\n%s", what, out)
		}
		time.Sleep(time.Until(begun.Add(masterDown + 2*time.Second)))
		p.portA.SetConnected(true)
		p.a.WaitFor(group, "hears b", patience, hearsMaster)
		if spoken := sniffer.Frames().FromHost().Speaking(vip, vmac); len(spoken) > 0 {
			t.Errorf("%s: a spoke for the VIP:\n%v", what, spoken)
		}
		atRest(t, what, p.b, b, moves)
		p.a.WaitAnswering(group, time.Until(begun.Add(patience)))
		if took := time.Since(begun); took < delay {
			t.Errorf("%s: MASTER after %v, within the delay", what, took)
		}
		p.b.WaitState(group, lab.Backup, patience)
	}
	blocked("start", func() { p.a.Start() })

	// The link: b takes over meanwhile, and keeps it until a may claim again.
	p.portA.SetCarrier(false)
	p.b.WaitAnswering(group, patience)
	b, moves = p.b.Group(group), transitions(p.b)
	sniffer = p.portA.Sniff()
	blocked("link up", func() { p.portA.SetCarrier(true) })

	// Adopted, it is not touched by it.
	b, moves = p.b.Group(group), transitions(p.b)
	leave(t, p.a)
	p.a.Start()
	p.a.WaitAnswering(group, patience)
	atRest(t, "restart of the MASTER", p.b, b, moves)

	// The owner is heard and leaves.
	p.a.Stop()
	p.b.WaitAnswering(group, 2*time.Second)
	p.a.Start()
	p.a.WaitFor(group, "hears b", patience, hearsMaster)
	stopped := p.b.Stop()
	g := p.a.WaitAnswering(group, time.Second)
	if took := g.Since.Sub(stopped); g.Reason != "goodbye" || took > 2*time.Second {
		t.Errorf("MASTER for the reason %q %v after the goodbye", g.Reason, took)
	}
}
