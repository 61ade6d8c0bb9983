// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
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

func openedHistory(t *testing.T, path string) *History {
	t.Helper()
	h := NewHistory(slog.New(slog.DiscardHandler))
	h.Open(path)
	return h
}

func TestHistoryOutlivesTheDaemon(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history")
	h := openedHistory(t, path)
	for i := range 3 {
		h.Add(past(i + 1))
	}
	h.Close(time.Second)
	h = openedHistory(t, path)
	h.Add(past(4))
	h.Close(time.Second)
	h = openedHistory(t, path)
	defer h.Close(time.Second)
	all := h.Last("", 0)
	if len(all.Transitions) != 4 || all.Damaged != 0 || all.Unsaved != "" {
		t.Fatalf("%+v", all)
	}
	for i, got := range all.Transitions {
		if want := past(i + 1); !got.Time.Equal(want.Time) || got.Group != want.Group || *got.Cause != *want.Cause {
			t.Errorf("%d: %+v, want %+v", i, got, want)
		}
	}
	if one := h.Last("eth0@1", 1).Transitions; len(one) != 1 || !one[0].Time.Equal(past(4).Time) {
		t.Errorf("the newest of eth0@1: %+v", one)
	}
}

// TestHistoryThatIsNoFile: what stands in its place is set aside, named once and counted, and the history goes on.
func TestHistoryThatIsNoFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	h := NewHistory(slog.New(slog.NewTextHandler(&log, nil)))
	h.Open(path)
	h.Add(past(1))
	h.Close(time.Minute)
	if all := h.Last("", 0); all.Damaged != 1 || all.Unsaved != "" || len(all.Transitions) != 1 {
		t.Errorf("%+v", all)
	}
	if said := log.String(); strings.Count(said, "level=WARN") != 1 || !strings.Contains(said, path+".damaged") {
		t.Errorf("the log is\n%s", said)
	}
	if _, err := os.Stat(filepath.Join(path+".damaged", "full")); err != nil {
		t.Error(err)
	}
	h = openedHistory(t, path)
	defer h.Close(time.Second)
	if all := h.Last("", 0); all.Damaged != 0 || len(all.Transitions) != 1 {
		t.Errorf("the next start: %+v", all)
	}
}

// Memory and file are bounded, and the file has no line twice after it was written anew.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history")
	h := openedHistory(t, path)
	const n = 3*api.MaxHistory + 17
	for i := range n {
		h.Add(past(i + 1))
		if i%100 == 0 {
			time.Sleep(time.Millisecond) // the queue overflows here and there, which is meant
		}
	}
	h.Close(time.Second)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(data, []byte("\n")); lines > api.MaxHistory+historySlack {
		t.Errorf("%d lines in the file", lines)
	}
	h = openedHistory(t, path)
	defer h.Close(time.Second)
	all := h.Last("", 0).Transitions
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
	h.Add(past(1))
	h.Add(past(2))
	h.Close(time.Second)
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
	if all := h.Last("", 0); all.Damaged != 4 || len(all.Transitions) != 2 {
		t.Errorf("%d damaged, %d good, want 4 and 2", all.Damaged, len(all.Transitions))
	}
	h.Add(past(3))
	h.Close(time.Second)
	h = openedHistory(t, path)
	defer h.Close(time.Second)
	if all := h.Last("", 0); all.Damaged != 0 || len(all.Transitions) != 3 {
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
	h.Add(past(1))
	for end := time.Now().Add(30 * time.Second); h.Last("", 0).Unsaved == "" && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if all := h.Last("", 0); !strings.Contains(all.Unsaved, "no such file") || len(all.Transitions) != 1 {
		t.Errorf("%+v", all)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h.Add(past(2))
	h.Close(time.Second)
	if u := h.Last("", 0).Unsaved; u != "" {
		t.Errorf("still said to be unsaved: %s", u)
	}
	h = openedHistory(t, path)
	defer h.Close(time.Second)
	if n := len(h.Last("", 0).Transitions); n != 2 {
		t.Errorf("%d on disk, want 2", n)
	}
}

// What became of a hook is in the file, once for each transition, and found again.
func TestHistoryIsAmended(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history")
	h := openedHistory(t, path)
	var ids []uint64
	for i := range 3 {
		tr := past(i + 1)
		tr.Hook = &api.HookRun{Outcome: api.HookWaiting}
		ids = append(ids, h.Add(tr))
	}
	if _, known := h.Amend(ids[1], &api.HookRun{Outcome: api.HookOK, Output: "said"}); !known {
		t.Error("not known")
	}
	if _, known := h.Amend(99, &api.HookRun{}); known {
		t.Error("amended what is not there")
	}
	if _, known := h.Amend(0, &api.HookRun{}); known {
		t.Error("amended nothing")
	}
	h.Close(time.Second)
	again := NewHistory(slog.New(slog.DiscardHandler))
	again.Open(path)
	defer again.Close(time.Second)
	all := again.Last("", 0)
	if len(all.Transitions) != 3 || all.Damaged != 0 {
		t.Fatalf("%+v", all)
	}
	for i, want := range []string{api.HookWaiting, api.HookOK, api.HookWaiting} {
		if got := all.Transitions[i].Hook; got == nil || got.Outcome != want {
			t.Errorf("%d: %+v, want %s", i, got, want)
		}
	}
	for range api.MaxHistory {
		again.Add(past(9))
	}
	if _, known := again.Amend(ids[2], &api.HookRun{}); known {
		t.Error("amended what is forgotten")
	}
}
