// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/loader"
	"vipd/tests/executable"
)

func hooked(t *testing.T, text string) config.Group {
	t.Helper()
	g := testGroup("eth0", 1, "192.0.2.100/24")
	g.Hook, g.HookTimeout = executable.Script(t, "hook", text), 20*time.Second
	return g
}

// outcome waits until the group's newest transition has that outcome of its hook.
func (b *bench) outcome(want string) api.Transition {
	b.t.Helper()
	for range 2000 {
		if t, _ := b.history.Newest("eth0@1"); t.Hook != nil && t.Hook.Outcome == want {
			return t
		}
		time.Sleep(5 * time.Millisecond)
	}
	t, _ := b.history.Newest("eth0@1")
	b.t.Fatalf("the hook of %+v is %+v, want %s", t, t.Hook, want)
	return t
}

// A transition goes on while its hook runs; what came of that is in the history, among
// the events and counted.
func TestHookIsRunAndRemembered(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	b := newBench(t, hooked(t, `[ "$3" = BACKUP ] && exit 0; while [ ! -e `+gate+` ]; do sleep 0.01; done; `+
		`echo "$* $VIPD_REASON $VIPD_ADDRESSES"; exit 3`))
	_, events, forget := b.operator.Events(t.Context())
	defer forget()
	b.outcome(api.HookOK)
	b.master()
	if tr, _ := b.history.Newest("eth0@1"); tr.Hook == nil || tr.Hook.Outcome != api.HookWaiting || tr.To != "MASTER" {
		t.Fatalf("while it runs: %+v", tr)
	}
	b.now += second
	b.pass(0) // the election goes on
	if len(b.drain()) == 0 {
		t.Error("nothing was advertised while the hook ran")
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tr := b.outcome(api.HookFailed)
	if h := tr.Hook; h.ExitCode != 3 || h.Output != "eth0@1 BACKUP MASTER master_timeout 192.0.2.100/24" ||
		h.Error != "exit status 3" ||
		h.Started == nil {
		t.Errorf("%+v", h)
	}
	for {
		if ev := <-events; ev.Event == api.EventHook && ev.Transition.To == "MASTER" {
			if ev.Transition.Hook.Outcome != api.HookFailed {
				t.Errorf("told %+v", ev.Transition.Hook)
			}
			break
		}
	}
	b.outcome(api.HookFailed)
}

// What a vipd before did not see the end of is run again, as long as it is still so; what
// changed without anybody being told is told.
func TestHookIsResumed(t *testing.T) {
	past := func(to, outcome string) api.Transition {
		return api.Transition{
			Time: time.Unix(1, 0).UTC(), Group: "eth0@1", From: "BACKUP", To: to, Reason: "goodbye", Generation: 7,
			Hook: &api.HookRun{Outcome: outcome, ExitCode: -1},
		}
	}
	tests := []struct {
		name  string
		lease time.Duration // of what is pinned: MASTER
		past  api.Transition
		want  string // what the hook is told, "" for nothing
	}{
		{"interrupted", 2 * time.Second, past("MASTER", api.HookInterrupted), "BACKUP MASTER goodbye"},
		{"killed", 2 * time.Second, past("MASTER", api.HookWaiting), "BACKUP MASTER goodbye"},
		{"ended", 2 * time.Second, past("MASTER", api.HookOK), ""},
		{"not so any more", -time.Second, past("MASTER", api.HookOK), "INIT BACKUP startup"},
		{"killed before it was written down", 2 * time.Second, past("BACKUP", api.HookOK), "BACKUP MASTER startup"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			told := filepath.Join(t.TempDir(), "told")
			g := hooked(t, `echo "$2 $3 $VIPD_REASON" >>`+told)
			b := newBenchAfter(
				t,
				earlier{past: []api.Transition{tt.past}, pins: []loader.PinnedGroup{pinnedMaster(tt.lease)}},
				g,
			)
			b.hooks.Close(10 * time.Second)
			got, _ := os.ReadFile(told) // there is none when it was told nothing
			if want := map[bool]string{true: "", false: tt.want + "\n"}[tt.want == ""]; string(got) != want {
				t.Errorf("told %q, want %q", got, want)
			}
		})
	}
}
