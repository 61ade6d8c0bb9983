// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/election"
)

// obey runs commands as the loop would, until the test ends.
func (b *bench) obey() {
	stop := make(chan struct{})
	b.t.Cleanup(func() { close(stop) })
	go func() {
		for {
			select {
			case c := <-b.commands:
				c.run()
				close(c.done)
			case <-stop:
				return
			}
		}
	}()
}

func TestOperatorDemotion(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	b.obey()
	ctl := b.operator
	add := func(d api.NewDemotion) api.DemotionChange {
		t.Helper()
		out, err := ctl.AddDemotion(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	bgp := api.NewDemotion{Name: "bgp", Value: 30, Reason: "no full table yet"}
	if out := add(bgp); !out.Changed || out.Demotion != 30 {
		t.Errorf("add: %+v, want changed, 30", out)
	}
	if log := b.drain(); !slices.Contains(log, "advert 1/30 from 192.0.2.11") {
		t.Errorf("not advertised at once: %q", log)
	}
	if out := add(api.NewDemotion{Name: "bgp", Value: 30, Reason: "no full table yet"}); out.Changed {
		t.Errorf("the same again: %+v, want unchanged", out)
	}
	add(api.NewDemotion{Name: "trial", Value: 5, For: 60})
	if got := b.ledger.total(); got != 35 {
		t.Errorf("sum %d, want 35", got)
	}
	b.expireDemotions(b.Loop.clock.Now().Add(59 * time.Second))
	if got := b.ledger.total(); got != 35 {
		t.Errorf("sum %d before the time is over, want 35", got)
	}
	b.expireDemotions(b.Loop.clock.Now().Add(60 * time.Second))
	if got := b.ledger.total(); got != 30 {
		t.Errorf("sum %d after the time is over, want 30", got)
	}
	b.ledger.set(demotionMaintenance, maintenanceValue, "", time.Now())
	out, err := ctl.ResetDemotions(t.Context())
	if err != nil || !slices.Equal(out.Removed, []string{"bgp"}) || out.Demotion != 240 {
		t.Errorf("reset: %+v, %v, want bgp removed and maintenance kept", out, err)
	}
	if out, err := ctl.RemoveDemotion(t.Context(), "bgp"); err != nil || out.Changed {
		t.Errorf("remove what is gone: %+v, %v, want unchanged", out, err)
	}
}

func TestOperatorDemotionsAreBounded(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.obey()
	ctl := b.operator
	for i := range api.MaxOperatorDemotions {
		if _, err := ctl.AddDemotion(t.Context(), api.NewDemotion{Name: fmt.Sprintf("n%d", i), Value: 1}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := ctl.AddDemotion(t.Context(), api.NewDemotion{Name: "more", Value: 1})
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.CodeBadRequest {
		t.Errorf("one more: %v, want %s", err, api.CodeBadRequest)
	}
	if _, err := ctl.AddDemotion(t.Context(), api.NewDemotion{Name: "n0", Value: 2}); err != nil {
		t.Errorf("a change of one that is there: %v", err)
	}
}

// Three adverts that cannot be sent demote the node; its groups say so as soon as
// they can.
func TestSendErrorsDemote(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	b.sendErr = errRefused
	for range 12 {
		b.pass(100 * time.Millisecond)
	}
	if st := b.status(); st.Demotion != 240 || st.Demotions[0].Name != "senderr:eth0@1" {
		t.Fatalf("demotions %+v, want senderr:eth0@1 240", st.Demotions)
	}
	b.sendErr = nil
	for range 60 {
		b.pass(100 * time.Millisecond)
	}
	b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
	if st := b.status(); st.Demotion != 0 {
		t.Errorf("demotions %+v after good sends, want none", st.Demotions)
	}
}
