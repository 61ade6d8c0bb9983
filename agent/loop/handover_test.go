// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/state"
)

// inLoop obeys commands as the loop does, tick and all, until the test ends; the
// test moves the clock through it.
type inLoop struct{ *bench }

func (b *bench) run() inLoop {
	stop, ended := make(chan struct{}), make(chan struct{})
	b.t.Cleanup(func() { close(stop); <-ended })
	go func() {
		defer close(ended)
		for {
			select {
			case c := <-b.commands:
				b.catchUp()
				c.run()
				b.catchUp()
				b.tick()
				close(c.done)
			case <-stop:
				return
			}
		}
	}()
	return inLoop{b}
}

// at runs fn in the loop.
func (l inLoop) at(fn func()) {
	l.t.Helper()
	if err := l.do(l.t.Context(), fn); err != nil {
		l.t.Fatal(err)
	}
}

func (l inLoop) pass(after time.Duration) { l.t.Helper(); l.at(func() { l.bench.pass(after) }) }

type handedOver struct {
	answer api.Handover
	err    error
}

// yield asks for a handover and returns when it is under way, with the channel of its end.
func (l inLoop) yield(name string, force bool) <-chan handedOver {
	l.t.Helper()
	ended := make(chan handedOver, 1)
	go func() {
		h, err := l.operator.Yield(l.t.Context(), name, force)
		ended <- handedOver{h, err}
	}()
	l.until("the handover is under way", func() bool { return l.groups.byName[name].machine.View().HandingOver })
	return ended
}

func (l inLoop) until(what string, so func() bool) {
	l.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) { // a disk is slow
		is := false
		l.at(func() { is = so() })
		if is {
			return
		}
	}
	l.t.Fatal("waited in vain until " + what)
}

// The kernel yields to the successor's very first advert: no gap.
func TestYieldReturnsWithTheSuccessor(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	l := b.run()
	ended := l.yield("eth0@1", false)
	l.at(func() {
		if log := b.drain(); !slices.Contains(log, "advert 1/240 from 192.0.2.11") {
			t.Errorf("not asked at once: %q", log)
		}
		b.now += second / 100
		b.ring = append(b.ring, b.advert("eth0@1", 100))
	})
	got := <-ended
	want := api.Handover{
		Group: "eth0@1", Outcome: api.OutcomeHandedOver, State: "BACKUP", Reason: "yield",
		Successor: "192.0.2.12", TookSeconds: 0.01,
	}
	if got.err != nil || got.answer != want {
		t.Errorf("got %+v, %v\nwant %+v", got.answer, got.err, want)
	}
}

// Without a successor nothing is given up, and the error says what would do it.
func TestYieldWithoutSuccessor(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	l := b.run()
	ended, joined := l.yield("eth0@1", false), make(chan handedOver, 1)
	go func() { // a second operator: one handover, one outcome
		h, err := b.operator.Yield(t.Context(), "eth0@1", false)
		joined <- handedOver{h, err}
	}()
	l.until("both wait", func() bool { return len(b.groups.byName["eth0@1"].lifecycle.handovers) == 2 })
	for range 45 {
		l.pass(100 * time.Millisecond)
	}
	for _, ch := range []<-chan handedOver{ended, joined} {
		got := <-ch
		e, ok := errors.AsType[*api.Error](got.err)
		if !ok || e.Code != api.CodeNoSuccessor ||
			!strings.Contains(
				e.Message,
				"no node took over eth0@1 within 4.0s: it stays MASTER here; `vipctl yield --force eth0@1`",
			) {
			t.Errorf("got %+v, %v", got.answer, got.err)
		}
	}
	l.at(func() {
		b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
		if log := b.drain(); !slices.Contains(log, "advert 255/255 from 192.0.2.11") {
			t.Errorf("no goodbye for a peer that does not preempt: %q", log)
		}
		if answering, _ := b.planes["10@1"].Answering(b.now); !answering {
			t.Error("not answering any more")
		}
		if b.groups.byName["eth0@1"].lifecycle.handovers != nil {
			t.Error("somebody still waits")
		}
	})
}

func TestYieldByForce(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	l := b.run()
	ended := l.yield("eth0@1", true)
	for range 45 {
		l.pass(100 * time.Millisecond)
	}
	got := <-ended
	if got.err != nil || got.answer.Outcome != api.OutcomeGivenUp || got.answer.State != "BACKUP" || !got.answer.Goodbye {
		t.Errorf("got %+v, %v", got.answer, got.err)
	}
	l.at(func() { b.expectState("eth0@1", election.Backup, election.ReasonYield) })
}

func TestYieldOfWhatIsNoMaster(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	l := b.run()
	h, err := b.operator.Yield(t.Context(), "eth0@1", true)
	if err != nil || h.Outcome != api.OutcomeNotMaster || h.State != "BACKUP" {
		t.Errorf("of a BACKUP: %+v, %v", h, err)
	}
	_, err = b.operator.Yield(t.Context(), "eth9@9", false)
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.CodeNoSuchGroup {
		t.Errorf("of no group: %v", err)
	}
	// One that ends being MASTER for another reason says so.
	l.at(func() { b.master() })
	ended := l.yield("eth0@1", false)
	l.at(func() {
		down := b.links["eth0"]
		down.Up = false
		b.links["eth0"] = down
		b.syncInterfaces()
	})
	got := <-ended
	if e, ok := errors.AsType[*api.Error](got.err); !ok || e.Code != api.CodeNotMaster ||
		!strings.Contains(e.Message, "eth0@1 is INIT (link_down) now and was not handed over") {
		t.Errorf("link lost meanwhile: %+v, %v", got.answer, got.err)
	}
}

// An operator who does not wait to the end is told that it goes on; the late answer
// finds nobody and harms nobody.
func TestYieldOutlivesItsCaller(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	l := b.run()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := b.operator.Yield(ctx, "eth0@1", false)
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.CodeTimeout ||
		!strings.Contains(e.Message, "keeps asking") {
		t.Errorf("got %v", err)
	}
	for range 45 {
		l.pass(100 * time.Millisecond)
	}
	l.at(func() { b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout) })
}

// maintenance enter --wait: on disk first; every master is handed over, and what found
// no successor is named.
func TestMaintenanceWaits(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"), testGroup("eth1", 2, "198.51.100.1/32"))
	b.intent.Maintenance = state.NewSwitch(filepath.Join(t.TempDir(), "maintenance"))
	b.master()
	l := b.run()
	type entered struct {
		change api.Change
		err    error
	}
	enter := func() <-chan entered {
		ended := make(chan entered, 1)
		go func() {
			ch, err := b.operator.EnterMaintenance(t.Context(), false)
			ended <- entered{ch, err}
		}()
		return ended
	}
	first := enter()
	yielding := func(name string) func() bool {
		return func() bool { return b.groups.byName[name].machine.View().HandingOver }
	}
	l.until("eth1@2 is handed over", yielding("eth1@2"))
	if on, _, err := b.intent.Maintenance.On(); err != nil || !on {
		t.Errorf("on disk: %v, %v", on, err)
	}
	l.at(func() {
		b.now += second / 100
		b.ring = append(b.ring, b.advert("eth1@2", 100))
	})
	for range 45 {
		l.pass(100 * time.Millisecond)
		l.at(func() { b.ring = append(b.ring, b.advert("eth1@2", 100)) })
	}
	got := <-first
	e, ok := errors.AsType[*api.Error](got.err)
	if !ok || e.Code != api.CodeNoSuccessor ||
		!strings.Contains(e.Message, "maintenance mode is on, but no node took over eth0@1 within 4.0s") ||
		!strings.Contains(e.Message, "--wait --force") {
		t.Errorf("got %+v, %v", got.change, got.err)
	}
	l.at(func() {
		b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
		b.expectState("eth1@2", election.Backup, election.ReasonDemoted)
	})
	// Again, and now there is somebody.
	second := enter()
	l.until("eth0@1 is handed over", yielding("eth0@1"))
	l.at(func() {
		b.now += int64(10 * time.Millisecond)
		b.ring = append(b.ring, b.advert("eth0@1", 100))
	})
	got = <-second
	if got.err != nil || got.change.Changed || !got.change.Maintenance || len(got.change.Handovers) != 1 ||
		got.change.Handovers[0].Outcome != api.OutcomeHandedOver || got.change.Handovers[0].Successor != "192.0.2.12" {
		t.Errorf("again: %+v, %v", got.change, got.err)
	}
}

// Maintenance is left by one person while another waits for the peers: no goodbye goes out for
// a node that takes part again, and the one who waits is told the truth.
func TestMaintenanceLeftWhileSomebodyWaits(t *testing.T) {
	for _, tc := range []struct {
		name  string
		after int // tenths of a second, until the mode is left
	}{{"before the goodbye", 5}, {"after the goodbye", 25}} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
			b.intent.Maintenance = state.NewSwitch(filepath.Join(t.TempDir(), "maintenance"))
			b.master()
			l := b.run()
			ended := make(chan error, 1)
			go func() {
				_, err := b.operator.EnterMaintenance(t.Context(), false)
				ended <- err
			}()
			l.until("the handover is under way", func() bool { return b.groups.byName["eth0@1"].machine.View().HandingOver })
			for range tc.after {
				l.pass(100 * time.Millisecond)
			}
			l.at(func() { b.drain() })
			if ch, err := b.operator.SetMaintenance(t.Context(), false); err != nil || !ch.Changed || ch.Maintenance {
				t.Errorf("leave: %+v, %v", ch, err)
			}
			err := <-ended
			e, ok := errors.AsType[*api.Error](err)
			if !ok || e.Code != api.CodeWithdrawn ||
				!strings.Contains(e.Message, "was left by another command while this one waited") ||
				!strings.Contains(e.Message, "eth0@1") {
				t.Errorf("who waited got %v", err)
			}
			if on, _, err := b.intent.Maintenance.On(); err != nil || on {
				t.Errorf("on disk: %v, %v", on, err)
			}
			for range 45 {
				l.pass(100 * time.Millisecond)
			}
			l.at(func() {
				b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
				log := b.drain()
				if !slices.Contains(log, "advert 1/0 from 192.0.2.11") || slices.Contains(log, "advert 255/255 from 192.0.2.11") {
					t.Errorf("sent after the mode was left: %q", log)
				}
			})
		})
	}
}
