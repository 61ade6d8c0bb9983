// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/checks"
	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/state/keep"
	"vipd/loader"
)

// slowCheck has no verdict as long as a test runs.
func slowCheck(name string) config.Check {
	return config.Check{
		Name: name, Type: config.CheckCommand, Command: []string{"/bin/sleep", "600"},
		Interval: time.Hour, Timeout: time.Hour, Rise: 1, Fall: 1, Demotion: 240,
	}
}

func failed(c config.Check) keep.Memory {
	return keep.Memory{Checks: []keep.Check{{
		Name: c.Name, Subject: checks.Subject(c), Failing: true, Reason: "refused", Since: startDay.Add(-time.Hour),
	}}}
}

// What demoted the node before the restart is in the very first advert of the next process.
func TestRestoredDemotionsAreInTheFirstAdvert(t *testing.T) {
	c := slowCheck("web")
	kept := failed(c)
	kept.Demotions = []keep.Demotion{
		{Name: "work", Value: -40, Reason: "router", Since: startDay.Add(-time.Minute), Ends: startTime + 10*second},
		{Name: "over", Value: 7, Ends: startTime - 1},
		{Name: "now", Value: 7, Ends: startTime},
		{Name: "link:eth9", Value: 7}, // not the operator's
		{Name: "nothing", Value: 0},
	}
	pins := []loader.PinnedGroup{pinnedMaster(2 * time.Second)}
	pins[0].SentPriority.AdvSkew = 200
	b := newBenchAfter(
		t,
		earlier{kept: kept, config: []config.Check{c}, pins: pins},
		testGroup("eth0", 1, "192.0.2.100/24"),
	)
	b.drain()
	b.pass(0)
	if log := b.drain(); !slices.Contains(log, "advert 1/200 from 192.0.2.11") ||
		slices.Contains(log, "advert 1/0 from 192.0.2.11") {
		t.Errorf("the first advert states something else: %q", log)
	}
	st := b.status()
	if st.Demotion != 200 || len(st.Demotions) != 2 {
		t.Fatalf("demotions %+v, want check:web and work", st.Demotions)
	}
	if d := st.Demotions[0]; d.Name != "check:web" || d.Value != 240 || d.Reason != "the check fails: refused" ||
		!d.Since.Equal(startDay.Add(-time.Hour)) {
		t.Errorf("restored %+v", d)
	}
	if d := st.Demotions[1]; d.Name != "work" || d.Reason != "router" || !d.Since.Equal(startDay.Add(-time.Minute)) ||
		!d.Expires.Equal(startDay.Add(10*time.Second)) {
		t.Errorf("restored %+v", d)
	}
	b.pass(10 * time.Second)
	if got := b.ledger.total(); got != 240 {
		t.Errorf("sum %d when the operator's demotion is over, want 240", got)
	}
}

// A verdict on something else, or of a check that the config no longer has, is forgotten.
func TestVerdictOfAnotherCheckIsForgotten(t *testing.T) {
	c, other := slowCheck("web"), slowCheck("web")
	other.Command = []string{"/bin/sleep", "601"}
	for name, now := range map[string][]config.Check{"changed": {other}, "renamed": {slowCheck("www")}, "removed": nil} {
		b := newBenchAfter(t, earlier{kept: failed(c), config: now}, testGroup("eth0", 1, "192.0.2.100/24"))
		if got := b.ledger.total(); got != 0 {
			t.Errorf("%s: demotion %d, want 0", name, got)
		}
	}
	now := c
	now.Demotion, now.Fall = 50, 9 // the same thing by other numbers
	b := newBenchAfter(t, earlier{kept: failed(c), config: []config.Check{now}}, testGroup("eth0", 1, "192.0.2.100/24"))
	if got := b.ledger.total(); got != 50 {
		t.Errorf("demotion %d, want the config's 50", got)
	}
}

// Without a verdict the node leaves a living master alone, and says so; a check that never
// has one does not hold it back for ever.
func TestNoPreemptingBeforeTheFirstVerdict(t *testing.T) {
	b := newBenchAfter(t, earlier{config: []config.Check{slowCheck("web")}}, testGroup("eth0", 1, "192.0.2.100/24"))
	hear := func() {
		b.ring = append(b.ring, b.advert("eth0@1", 100))
		b.pass(0)
	}
	for range 119 {
		b.now += second
		hear()
	}
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
	w, err := b.operator.Why(t.Context(), "eth0@1")
	if err != nil {
		t.Fatal(err)
	}
	if w.Hold != api.HoldChecks || !w.HoldUntil.Equal(startDay.Add(2*time.Minute)) ||
		!strings.Contains(strings.Join(w.Because, "\n"), "verdict (web)") {
		t.Errorf("why: hold %q until %v, %q", w.Hold, w.HoldUntil, w.Because)
	}
	if g := b.status().Groups[0]; g.Hold != api.HoldChecks || !g.HoldUntil.Equal(w.HoldUntil) {
		t.Errorf("status: hold %q until %v", g.Hold, g.HoldUntil)
	}
	b.now += second
	hear()
	b.expectState("eth0@1", election.Master, election.ReasonPreempt)
	if names := b.View().Awaited; names != nil {
		t.Errorf("still waits for %q", names)
	}
}

// A first verdict that is bad causes no transition: the demotion is there when the wait ends.
func TestFirstVerdictIsBad(t *testing.T) {
	c := config.Check{
		Name: "web", Type: config.CheckCommand, Command: []string{"/bin/false"},
		Interval: time.Hour, Timeout: time.Minute, Rise: 1, Fall: 1, Demotion: 240,
	}
	b := newBenchAfter(t, earlier{config: []config.Check{c}}, testGroup("eth0", 1, "192.0.2.100/24"))
	for b.ledger.total() == 0 {
		<-b.checks.Changed()
		b.syncChecks()
	}
	b.ring = append(b.ring, b.advert("eth0@1", 100))
	b.pass(time.Second)
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
	if g := b.status().Groups[0]; g.Hold != "" {
		t.Errorf("hold %q with a verdict", g.Hold)
	}
	if log := b.drain(); slices.ContainsFunc(log, func(l string) bool { return strings.HasPrefix(l, "advert") }) {
		t.Errorf("it spoke: %q", log)
	}
}

// A reload that makes the node better and adds a check at once does not preempt before the
// check has a verdict. Neither does a group that is new.
func TestReloadThatAddsACheck(t *testing.T) {
	cfg := testGroup("eth0", 1, "192.0.2.100/24")
	cfg.AdvSkew = 200
	b := newBench(t, cfg)
	next := *b.cfg
	better := cfg
	better.AdvSkew = 0
	next.Groups = []config.Group{better, testGroup("eth0", 2, "192.0.2.101/24")}
	next.Checks = []config.Check{slowCheck("web")}
	b.ring = append(b.ring, b.advert("eth0@1", 100))
	b.pass(0)
	if _, err := b.switchTo(&next, nil); err != nil {
		t.Fatal(err)
	}
	b.now += second
	b.ring = append(b.ring, b.advert("eth0@1", 100), b.advert("eth0@2", 100))
	b.pass(0)
	for _, name := range []string{"eth0@1", "eth0@2"} {
		v := b.groups.byName[name].machine.View()
		if v.State != election.Backup || v.Hold != election.HoldChecks {
			t.Errorf("%s is %s, hold %s", name, v.State, v.Hold)
		}
	}
	without := next
	without.Checks = nil
	if _, err := b.switchTo(&without, nil); err != nil {
		t.Fatal(err)
	}
	b.now += second
	b.ring = append(b.ring, b.advert("eth0@1", 100))
	b.pass(0)
	b.expectState("eth0@1", election.Master, election.ReasonPreempt) // the witness
}

// What is written when something changes is what the next process restores.
func TestWhatIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "memory.json")
	log := slog.New(slog.DiscardHandler)
	c := slowCheck("web")
	group := testGroup("eth0", 1, "192.0.2.100/24")
	b := newBenchAfter(t, earlier{kept: failed(c), config: []config.Check{c}}, group)
	b.memory.store, _ = keep.Open(path, "boot", log)
	b.intent.Kept = b.memory.store
	b.obey()
	ctl := b.operator
	work := api.NewDemotion{Name: "work", Value: 9, For: 60, Reason: "r"}
	if out, err := ctl.AddDemotion(t.Context(), work); err != nil || out.Message != "" {
		t.Fatalf("%+v, %v", out, err)
	}
	read := func() keep.Memory {
		t.Helper()
		if err := b.memory.store.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, m := keep.Open(path, "boot", log)
		return m
	}
	m := read() // as after a kill -9 right after the command was answered
	if len(m.Demotions) != 1 || m.Demotions[0].Ends != startTime+60*second || m.Demotions[0].Value != 9 {
		t.Errorf("demotions %+v", m.Demotions)
	}
	if len(m.Checks) != 1 || !m.Checks[0].Failing || m.Checks[0].Reason != "refused" ||
		m.Checks[0].Subject != checks.Subject(c) {
		t.Errorf("checks %+v", m.Checks)
	}
	b.master()
	b.groups.byName["eth0@1"].step(election.HandOver{})
	b.now += second
	ev := b.advert("eth0@1", 0)
	b.ring = append(b.ring, ev)
	b.pass(0)
	b.expectState("eth0@1", election.Backup, election.ReasonYield)
	m = read()
	want := keep.Hold{Group: "eth0@1", YieldUntil: b.now + 600*second, Successors: []netip.Addr{ev.Src}, AdvBase: 1}
	if len(m.Holds) != 1 || m.Holds[0].YieldUntil != want.YieldUntil ||
		!slices.Equal(m.Holds[0].Successors, want.Successors) ||
		m.Holds[0].AdvBase != 1 {
		t.Fatalf("holds %+v, want %+v", m.Holds, want)
	}
	next := newBenchAfter(t, earlier{kept: m, config: []config.Check{c}}, group)
	if v := next.groups.byName["eth0@1"].machine.View(); v.Hold != election.HoldYield {
		t.Errorf("the next process holds back for %s", v.Hold)
	}
	b.releaseAll() // a graceful stop forgets nothing
	b.pass(0)
	if m := read(); len(m.Holds) != 1 || len(m.Demotions) != 1 || len(m.Checks) != 1 {
		t.Errorf("after the stop %+v", m)
	}
}

// A disk that takes nothing changes nothing that runs, and the operator is told.
func TestDemotionThatIsNotStored(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.memory.store, _ = keep.Open(filepath.Join(t.TempDir(), "gone", "memory.json"), "boot", slog.New(slog.DiscardHandler))
	b.intent.Kept = b.memory.store
	b.obey()
	out, err := b.operator.AddDemotion(t.Context(), api.NewDemotion{Name: "work", Value: 9})
	if err != nil || out.Demotion != 9 || !strings.Contains(out.Message, "a restart of vipd would forget it") {
		t.Errorf("%+v, %v", out, err)
	}
}
