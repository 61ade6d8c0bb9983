// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/netio"
)

// TestWhy puts a node into the situations that people ask about, and looks for the words
// that answer them.
func TestWhy(t *testing.T) {
	hear := func(b *bench, skew, demote uint8) {
		ev := b.advert("eth0@1", skew)
		ev.Demote, ev.DemoteAware = demote, demote > 0
		b.ring = append(b.ring, ev)
		b.pass(time.Millisecond)
	}
	noPreempt := func(b *bench) {
		b.cfg.Carp.Preempt = false
		b.groups.byName["eth0@1"].step(election.Reconfigure{Config: b.electionConfig(b.groups.byName["eth0@1"].cfg)})
	}
	for _, tt := range []struct {
		name  string
		skew  uint8
		do    func(b *bench)
		state string
		want  []string // in this order
	}{
		{
			"backup of a better one", 100,
			func(b *bench) { hear(b, 10, 0) }, "BACKUP",
			[]string{
				"192.0.2.12 is MASTER, heard 0.0 s ago",
				"192.0.2.12 says 1/10, every 1.039 s; this node's own is 1/100, every 1.391 s: its interval is shorter, and " +
					"the shorter one is MASTER",
				"192.0.2.12 falls silent for the master-down time (3.391 s, 3.4 s of it left), or says goodbye",
				"a shorter interval here than 1.039 s (advbase, advskew), or a longer one there",
				"192.0.2.12 would take it back with its next advert",
			},
		},
		{
			"backup of an equal one", 0,
			func(b *bench) { hear(b, 0, 0) }, "BACKUP",
			[]string{
				"192.0.2.12 says 1/0, every 1.000 s; this node's own is 1/0, every 1.000 s: equal, and of equals the one that " +
					"is MASTER stays",
			},
		},
		{
			"its sends failed", 0,
			func(b *bench) {
				b.sendErr = errRefused
				b.pass(3 * time.Second) // a claim that does not get out
				hear(b, 100, 0)
			}, "BACKUP",
			[]string{
				"its last advert could not be sent, so it leaves a living master in peace before ",
				"an advert of this node gets out",
			},
		},
		{
			"in maintenance", 0,
			func(b *bench) {
				b.ledger.set(demotionMaintenance, maintenanceValue, "", time.Unix(1e9, 0))
				b.demote()
				b.publish()
				hear(b, 10, 0)
			}, "BACKUP",
			[]string{
				"this node's own is 1/240, every 1.938 s, demoted by 240: its interval is shorter",
				"demoted by 240 (maintenance) since 2001-09-09T01:46:40Z",
				"the demotion ends (maintenance): this node would say 1/0, every 1.000 s",
			},
		},
		{
			"does not preempt", 0,
			func(b *bench) { noPreempt(b); hear(b, 10, 0) }, "BACKUP",
			[]string{
				"this node's is shorter, and would win", "it does not preempt a living master ([carp] preempt = false)",
				"[carp] preempt = true here and `vipctl reload`", "192.0.2.12 would yield to this node's first advert",
			},
		},
		{
			"nobody heard", 0, func(*bench) {}, "BACKUP",
			[]string{
				"no master is heard",
				"nothing: it takes over in 3.0 s if no master is heard until then",
				"it would advertise 1/0, every 1.000 s",
			},
		},
		{
			"handed over", 0,
			func(b *bench) {
				b.pass(3 * time.Second)
				b.groups.byName["eth0@1"].step(election.HandOver{})
				hear(b, 10, 0)
				b.pass(time.Second)
				hear(b, 10, 0)
			}, "BACKUP",
			[]string{
				"this node's is shorter, and would win",
				"it was handed over by the operator, and is not taken back before ",
			},
		},
		{
			"master alone", 0, func(b *bench) { b.pass(3 * time.Second) }, "MASTER",
			[]string{
				"took over because no master was heard for the master-down time (3.000 s)", "no other node was ever heard",
				"an advert of another node as good as 1/0, every 1.000 s or better",
				"`vipctl yield eth0@1`", "who would take over is unknown, since no node has reported yet",
			},
		},
		{
			"master of a worse one", 0,
			func(b *bench) { hear(b, 100, 0) }, "MASTER",
			[]string{
				"took over by preemption from a worse master",
				"192.0.2.12 says 1/100, every 1.391 s; this node's own is 1/0, every 1.000 s: this node's is shorter, and the " +
					"shorter one is MASTER",
			},
		},
		{
			"master of a demoted one", 100,
			func(b *bench) { hear(b, 0, 240) }, "MASTER",
			[]string{
				"took over from a master that was demoted",
				"every 1.000 s, demoted by 240; this node's own is 1/100, every 1.391 s: this node is demoted less",
			},
		},
		{
			"no link", 0,
			func(b *bench) {
				b.links["eth0"] = netio.Link{Index: 10, Name: "eth0", Ethernet: true}
				b.syncInterfaces()
			}, "INIT",
			[]string{"interface eth0 has no link or is down", "the cause above is fixed", "it cannot take over"},
		},
		{
			"disabled", 0, func(b *bench) { b.setDisabled(true) }, "INIT",
			[]string{"switched off by the operator; `vipctl enable` switches it on again"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := testGroup("eth0", 1, "192.0.2.100/24")
			g.AdvSkew = tt.skew
			b := newBench(t, g)
			tt.do(b)
			w, err := b.operator.Why(t.Context(), "eth0@1")
			if err != nil || w.State != tt.state {
				t.Fatalf("%s, %v, want %s", w.State, err, tt.state)
			}
			text := strings.Join(append(append(w.Because, w.Changes...), w.Takeover), "\n")
			rest := text
			for _, want := range tt.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Errorf("no %q, or not there, in\n%s", want, text)
					continue
				}
				rest = after
			}
		})
	}
}

func TestWhyValues(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.now += second
	b.ring = append(b.ring, b.advert("eth0@1", 0))
	b.pass(0)
	b.now += second / 2
	w, err := b.operator.Why(t.Context(), "eth0@1")
	if err != nil || w.Theirs == nil || w.Theirs.Address != "192.0.2.12" || w.Theirs.IntervalSeconds != 1 ||
		!w.Superior || !w.Preempt ||
		w.MasterDownSeconds != 3 || w.Waiting != "master down" || w.WaitingSeconds != 2.5 || w.Ours.AdvBase != 1 ||
		*w.Ours.ConfiguredAdvSkew != 0 {
		t.Errorf("%+v, %v", w, err)
	}
	_, err = b.operator.Why(t.Context(), "eth9@9")
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.CodeNoSuchGroup {
		t.Errorf("of no group: %v", err)
	}
}
