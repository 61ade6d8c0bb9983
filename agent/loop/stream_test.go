// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"testing"
	"time"

	"vipd/agent/control/api"
)

func TestTransitionsAreRememberedAndTold(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	ctl := b.operator
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
	if got.From != "MASTER" || got.To != "BACKUP" || got.Reason != "equal_advert" ||
		got.Cause == nil || *got.Cause != want ||
		got.LagSeconds != 0.001 || got.Generation != 1 ||
		h.Transitions[1].Cause != nil {
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
	if ev := <-events; ev.Event != api.EventDemotion || ev.Demotions.Demotion != 7 ||
		ev.Demotions.Demotions[0].Name != "ops" {
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
