// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
)

func past(i int) api.Transition {
	return api.Transition{
		Time: time.Unix(int64(i), 0).UTC(), Group: fmt.Sprintf("eth%d@1", i%2), From: "BACKUP", To: "MASTER",
		Reason: "goodbye", Cause: &api.Cause{Address: "192.0.2.12", AdvBase: 255, AdvSkew: 255},
	}
}

func openedHistory(t *testing.T, path string) *history {
	t.Helper()
	h := newHistory(slog.New(slog.DiscardHandler))
	h.open(path)
	return h
}

func TestHistoryOutlivesTheDaemon(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history")
	h := openedHistory(t, path)
	for i := range 3 {
		h.add(past(i + 1))
	}
	h.close()
	h = openedHistory(t, path)
	h.add(past(4))
	h.close()
	h = openedHistory(t, path)
	defer h.close()
	all := h.last("", 0)
	if len(all.Transitions) != 4 || all.Damaged != 0 || all.Unsaved != "" {
		t.Fatalf("%+v", all)
	}
	for i, got := range all.Transitions {
		if want := past(i + 1); !got.Time.Equal(want.Time) || got.Group != want.Group || *got.Cause != *want.Cause {
			t.Errorf("%d: %+v, want %+v", i, got, want)
		}
	}
	if one := h.last("eth0@1", 1).Transitions; len(one) != 1 || !one[0].Time.Equal(past(4).Time) {
		t.Errorf("the newest of eth0@1: %+v", one)
	}
}

// Memory and file are bounded, and the file has no line twice after it was written anew.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history")
	h := openedHistory(t, path)
	const n = 3*api.MaxHistory + 17
	for i := range n {
		h.add(past(i + 1))
		if i%100 == 0 {
			time.Sleep(time.Millisecond) // the queue overflows here and there, which is meant
		}
	}
	h.close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(data, []byte("\n")); lines > api.MaxHistory+historySlack {
		t.Errorf("%d lines in the file", lines)
	}
	h = openedHistory(t, path)
	defer h.close()
	all := h.last("", 0).Transitions
	if len(all) != api.MaxHistory {
		t.Fatalf("%d remembered, want %d", len(all), api.MaxHistory)
	}
	for i, got := range all {
		if want := int64(n - api.MaxHistory + i + 1); got.Time.Unix() != want {
			t.Fatalf("entry %d is of %d, want %d", i, got.Time.Unix(), want)
		}
	}
}

// A crash in the middle of a line, a line of rubbish and one without end cost
// themselves, and the next start mends the file.
func TestHistoryDamaged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history")
	h := openedHistory(t, path)
	h.add(past(1))
	h.add(past(2))
	h.close()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(good), "\n")
	bad := lines[0] + "rubbish\n{}\n" + strings.Repeat("x", 200<<10) + "\n" + lines[1] + lines[0][:30]
	if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	h = openedHistory(t, path)
	if all := h.last("", 0); all.Damaged != 4 || len(all.Transitions) != 2 {
		t.Errorf("%d damaged, %d good, want 4 and 2", all.Damaged, len(all.Transitions))
	}
	h.add(past(3))
	h.close()
	h = openedHistory(t, path)
	defer h.close()
	if all := h.last("", 0); all.Damaged != 0 || len(all.Transitions) != 3 {
		t.Errorf("not mended: %d damaged, %d good", all.Damaged, len(all.Transitions))
	}
}

// A disk that refuses costs no transition in memory, is told, and gets all when it is
// back.
func TestHistoryUnsaved(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	path := filepath.Join(dir, "history") // there is no directory yet
	h := openedHistory(t, path)
	h.add(past(1))
	for range 1000 {
		if h.last("", 0).Unsaved != "" {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if all := h.last("", 0); !strings.Contains(all.Unsaved, "no such file") || len(all.Transitions) != 1 {
		t.Errorf("%+v", all)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h.add(past(2))
	h.close()
	if u := h.last("", 0).Unsaved; u != "" {
		t.Errorf("still said to be unsaved: %s", u)
	}
	h = openedHistory(t, path)
	defer h.close()
	if n := len(h.last("", 0).Transitions); n != 2 {
		t.Errorf("%d on disk, want 2", n)
	}
}

func TestTransitionsAreRememberedAndTold(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	ctl := backend{b.Agent}
	first, events, forget := ctl.Events(t.Context())
	defer forget()
	if first.Event != api.EventBegin || first.Node != "fw1" || first.Version == "" {
		t.Errorf("the stream begins with %+v", first)
	}
	b.master()
	b.now += second / 100
	b.ring = append(b.ring, b.advert("eth0@1", 0))
	b.pass(time.Millisecond)
	h, err := ctl.History(t.Context(), "eth0@1", 0)
	if err != nil || len(h.Transitions) != 3 { // INIT -> BACKUP -> MASTER -> BACKUP
		t.Fatalf("%+v, %v", h, err)
	}
	got := h.Transitions[2]
	want := api.Cause{Address: "192.0.2.12", AdvBase: 1}
	if got.From != "MASTER" || got.To != "BACKUP" || got.Reason != "equal_advert" || got.Cause == nil || *got.Cause != want ||
		got.LagSeconds != 0.001 || got.Generation != 1 || h.Transitions[1].Cause != nil {
		t.Errorf("%+v", got)
	}
	for _, want := range h.Transitions[1:] {
		if ev := <-events; ev.Event != api.EventTransition || ev.Transition == nil || ev.Transition.To != want.To {
			t.Errorf("told %+v, want the transition to %s", ev, want.To)
		}
	}
	if b.ledger.set("ops", 7, "", time.Now()) {
		b.demote()
		b.publish()
	}
	if ev := <-events; ev.Event != api.EventDemotion || ev.Demotions.Demotion != 7 || ev.Demotions.Demotions[0].Name != "ops" {
		t.Errorf("told %+v, want the demotion", ev)
	}
	b.setDisabled(true)
	if ev := <-events; ev.Event != api.EventTransition || ev.Transition.Reason != "disabled" {
		t.Errorf("told %+v, want the end of the group", ev)
	}
	if ev := <-events; ev.Event != api.EventSwitch || *ev.Switches != (api.Switches{}) {
		t.Errorf("told %+v, want the switch", ev)
	}
	_, err = ctl.History(t.Context(), "eth9@9", 0)
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.CodeNoSuchGroup {
		t.Errorf("of no group: %v", err)
	}
}

// Telling never waits: who does not read is dropped, and the last line says so.
func TestSlowListenerIsDropped(t *testing.T) {
	t.Parallel()
	var s stream
	slow, forget := s.listen()
	quick, forgetQuick := s.listen()
	defer forgetQuick()
	for range streamBacklog + 5 {
		s.tell(api.Event{Event: api.EventTransition})
		<-quick
	}
	n, last := 0, api.Event{}
	for last = range slow {
		n++
	}
	if n != streamBacklog+1 || last.Event != api.EventDropped {
		t.Errorf("%d lines, the last one %q, want %d and %q", n, last.Event, streamBacklog+1, api.EventDropped)
	}
	if len(s.listeners) != 1 {
		t.Errorf("%d listeners left, want the quick one", len(s.listeners))
	}
	forget() // twice is harmless
}
