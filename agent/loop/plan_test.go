// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/agent/operator"
)

// planned is what a plan of these groups says, a line each effect.
func (b *bench) planned(change func(*config.Config)) (api.Plan, []string) {
	b.t.Helper()
	b.publish()
	next := *b.cfg
	next.Groups = append([]config.Group(nil), b.cfg.Groups...)
	change(&next)
	b.source.Load = func() (*config.Config, []config.Problem, error) { return &next, nil, nil }
	before := *b.View()
	b.drain()
	plan, err := b.operator.Plan(b.t.Context(), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.expect() // nothing was done
	if now := *b.View(); now.Config != before.Config || len(now.Groups) != len(before.Groups) {
		b.t.Error("a plan changed the node")
	}
	var lines []string
	for _, c := range plan.Changes {
		for _, e := range c.Effects {
			lines = append(
				lines,
				fmt.Sprintf("%s %s[%s] %s %s: %s", c.Action, c.Group, c.State, e.Effect, strings.Join(e.Addresses, " "), e.Text),
			)
		}
	}
	return plan, lines
}

// TestPlan holds every kind of change to the words that an operator must read before it.
func TestPlan(t *testing.T) {
	master := func(b *bench) { b.master() }
	backupOf := func(skew uint8) func(b *bench) {
		return func(b *bench) {
			b.ring = append(b.ring, b.advert("eth0@1", skew))
			b.pass(time.Millisecond)
			b.expectState("eth0@1", election.Backup, election.ReasonStartup)
		}
	}
	first := func(f func(g *config.Group)) func(*config.Config) {
		return func(c *config.Config) { f(&c.Groups[0]) }
	}
	secret := func(s string) config.Secret { return config.NewSecret([]byte(s)) }
	for _, tt := range []struct {
		name   string
		skew   uint8
		now    func(b *bench)
		change func(*config.Config)
		want   []string // each the beginning of a line
	}{
		{"nothing", 0, master, func(*config.Config) {}, nil},
		{
			"removed, master", 0, master,
			func(c *config.Config) { c.Groups = nil },
			[]string{"remove eth0@1[MASTER] gives_up 192.0.2.100/24: MASTER here: it says goodbye"},
		},
		{
			"removed, backup", 100, backupOf(0),
			func(c *config.Config) { c.Groups = nil },
			[]string{"remove eth0@1[BACKUP] none : BACKUP here: nothing moves"},
		},
		{"another vhid", 0, master, first(func(g *config.Group) { g.VHID = 9 }), []string{
			"remove eth0@1[MASTER] gives_up 192.0.2.100/24: MASTER here: it says goodbye",
			"remove eth0@1[MASTER] gives_up 192.0.2.100/24: interface and vhid are a group's name, so this is another " +
				"group: eth0@9 begins as BACKUP",
			"add eth0@9[] may_take 192.0.2.100/24: begins as BACKUP and takes over if no master is heard for the master-down " +
				"time, advertising 1/0, every 1.000 s; it preempts",
		}},
		{
			"added where there is nothing", 0, master,
			func(c *config.Config) { c.Groups = append(c.Groups, testGroup("eth9", 1, "192.0.2.9/24")) },
			[]string{
				"reach eth0@1[MASTER] may_move 192.0.2.100/24: advertises 1/240, every 1.938 s, demoted by 240 " +
					"instead of 1/0, every 1.000 s at once",
				"add eth9@1[] none : waits in INIT: interface eth9 does not exist on this host; until then it demotes this " +
					"node by 240 (link:eth9)",
			},
		},
		{
			"added where there is nothing, which does not count", 0, master,
			func(c *config.Config) {
				c.Carp.IfdownDemotion = 0
				c.Groups = append(c.Groups, testGroup("eth9", 1, "192.0.2.9/24"))
			},
			[]string{"add eth9@1[] none : waits in INIT: interface eth9 does not exist on this host"},
		},
		{
			"added on a bridge port", 0, func(b *bench) {
				b.master()
				port := netio.Link{Index: 18, Name: "eth8", Up: true, Ethernet: true}
				port.MasterName, port.MasterKind = "br0", "bridge"
				b.links["eth8"] = port
			},
			func(c *config.Config) { c.Groups = append(c.Groups, testGroup("eth8", 1, "192.0.2.9/24")) },
			[]string{
				"reach eth0@1[MASTER] may_move 192.0.2.100/24: advertises 1/240",
				"add eth8@1[] none : waits in INIT: interface eth8 is a port of the bridge br0",
			},
		},
		{
			"worse, master", 0, master,
			first(func(g *config.Group) { g.AdvSkew = 100 }),
			[]string{
				"change eth0@1[MASTER] may_move 192.0.2.100/24: advertises 1/100, every 1.391 s instead of 1/0, every 1.000 s " +
					"at once",
			},
		},
		{
			"better, master", 100,
			func(b *bench) { b.pass(3500 * time.Millisecond) },
			first(func(g *config.Group) { g.AdvSkew = 0 }),
			[]string{"change eth0@1[MASTER] none : no address moves"},
		},
		{
			"better than its master", 100, backupOf(50),
			first(func(g *config.Group) { g.AdvSkew = 0 }),
			[]string{
				"change eth0@1[BACKUP] takes 192.0.2.100/24: preempts 192.0.2.12, which says 1/50, every 1.195 s, with 1/0, " +
					"every 1.000 s",
			},
		},
		{
			"equal to its master", 100, backupOf(50),
			first(func(g *config.Group) { g.AdvSkew = 50 }),
			[]string{"change eth0@1[BACKUP] none : no address moves"},
		},
		{
			"still worse than its master", 100, backupOf(0),
			first(func(g *config.Group) { g.AdvSkew = 50 }),
			[]string{"change eth0@1[BACKUP] none : no address moves"},
		},
		{
			"better, but does not preempt", 100, backupOf(50),
			func(c *config.Config) { c.Groups[0].AdvSkew, c.Carp.Preempt = 0, false },
			[]string{"change eth0@1[BACKUP] none : no address moves"},
		},
		{"addresses, master", 0, master, first(func(g *config.Group) {
			g.Addresses = []netip.Prefix{netip.MustParsePrefix("192.0.2.101/24")}
			g.Accept = []config.Accept{{
				Password:  g.Password,
				Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.100/24")},
			}}
		}), []string{
			"change eth0@1[MASTER] gives_up 192.0.2.100/24: MASTER here: this host stops answering",
			"change eth0@1[MASTER] takes 192.0.2.101/24: MASTER here: this host answers",
			"change eth0@1[MASTER] may_move 192.0.2.101/24: signs its adverts differently",
		}},
		{
			"only the prefix length", 0, master,
			first(func(g *config.Group) { g.Addresses = []netip.Prefix{netip.MustParsePrefix("192.0.2.100/25")} }),
			[]string{"change eth0@1[MASTER] none : no address moves"},
		},
		{
			"password, backup", 100, backupOf(0),
			first(func(g *config.Group) { g.Password = secret("other") }),
			[]string{"change eth0@1[BACKUP] deaf 192.0.2.100/24: adverts of 192.0.2.12, if signed as now, are refused"},
		},
		{"password, the old one accepted", 100, backupOf(0), first(func(g *config.Group) {
			g.Accept = []config.Accept{{Password: g.Password, Addresses: g.Addresses}}
			g.Password = secret("other")
		}), []string{"change eth0@1[BACKUP] none : no address moves"}},
		{
			"peers, master", 0, master,
			first(func(g *config.Group) { g.Peers = []netip.Addr{netip.MustParseAddr("192.0.2.12")} }),
			[]string{"change eth0@1[MASTER] may_move 192.0.2.100/24: advertises to others than now (peers)"},
		},
		{
			"trailer required", 100, backupOf(0),
			first(func(g *config.Group) { g.RequireTrailer = true }),
			[]string{"change eth0@1[BACKUP] deaf 192.0.2.100/24: adverts without the trailer of a vipd node"},
		},
		{
			"description", 0, master,
			first(func(g *config.Group) { g.Description = "x" }),
			[]string{"change eth0@1[MASTER] none : no address moves"},
		},
		{"no link", 0, func(b *bench) {
			link := b.links["eth0"]
			link.Up = false
			b.links["eth0"] = link
			b.syncInterfaces()
		}, first(func(g *config.Group) { g.AdvSkew = 100 }), []string{"change eth0@1[INIT] none : INIT here"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := testGroup("eth0", 1, "192.0.2.100/24")
			g.AdvSkew = tt.skew
			b := newBench(t, g)
			tt.now(b)
			plan, got := b.planned(tt.change)
			ok := len(got) == len(tt.want)
			for i := range min(len(got), len(tt.want)) {
				ok = ok && strings.HasPrefix(got[i], tt.want[i])
			}
			if !ok {
				t.Errorf("got:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(tt.want, "\n  "))
			}
			moves := false
			for _, line := range got {
				moves = moves || !strings.Contains(line, "] none ")
			}
			if plan.Moves != moves {
				t.Errorf("moves %v with %q", plan.Moves, got)
			}
		})
	}
}

// TestPlanOfPreempt: a key outside the groups moves a group that did not change.
func TestPlanOfPreempt(t *testing.T) {
	g := testGroup("eth0", 1, "192.0.2.100/24")
	b := newBench(t, g, testGroup("eth0", 2, "192.0.2.101/24"))
	b.cfg.Carp.Preempt = false
	for _, gr := range b.groups.order {
		gr.step(election.Reconfigure{Config: b.electionConfig(gr.cfg)})
	}
	b.ring = append(b.ring, b.advert("eth0@1", 100))
	b.pass(time.Millisecond)
	plan, got := b.planned(func(c *config.Config) { c.Carp.Preempt, c.HTTP.Listen = true, "" })
	if len(got) != 1 || !strings.HasPrefix(got[0], "reach eth0@1[BACKUP] takes 192.0.2.100/24: preempts 192.0.2.12") {
		t.Errorf("got %q", got)
	}
	want := api.Plan{
		Node:        "fw1",
		Moves:       true,
		Changes:     plan.Changes,
		Untouched:   []string{"eth0@2"},
		Global:      []string{"carp.preempt"},
		NeedRestart: []string{"http.listen"},
		Warnings:    []string{},
	}
	if diff := cmp.Diff(want, plan); diff != "" {
		t.Error(diff)
	}
	// And the reload does it, to that group alone.
	other := b.groups.byName["eth0@2"].machine.View()
	if _, err := b.applyReloadNow(); err != nil {
		t.Fatal(err)
	}
	b.ring = append(b.ring, b.advert("eth0@1", 100))
	b.pass(time.Millisecond)
	b.expectState("eth0@1", election.Master, election.ReasonPreempt)
	if v := b.groups.byName["eth0@2"].machine.View(); v.State != other.State || v.Since != other.Since {
		t.Errorf("eth0@2 moved: %+v", v)
	}
}

// What demotes the node may be removed with the reload: then every group is better afterwards.
func TestPlanOfDemotionsThatEnd(t *testing.T) {
	for _, tt := range []struct {
		name     string // of the demotion
		demote   func(b *bench)
		change   func(*config.Config)
		preempts bool
	}{
		{"link", func(b *bench) {
			link := b.links["eth1"]
			link.Up = false
			b.links["eth1"] = link
			b.syncInterfaces()
		}, func(c *config.Config) { c.Groups = c.Groups[:1] }, true},
		{"link of an interface that stays", func(b *bench) {
			link := b.links["eth1"]
			link.Up = false
			b.links["eth1"] = link
			b.syncInterfaces()
		}, func(c *config.Config) { c.Groups[1].Description = "x" }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"), testGroup("eth1", 1, "198.51.100.1/24"))
			tt.demote(b)
			b.ring = append(b.ring, b.advert("eth0@1", 100))
			b.pass(time.Millisecond)
			b.expectState("eth0@1", election.Backup, election.ReasonStartup)
			_, got := b.planned(tt.change)
			preempts := strings.Contains(strings.Join(got, "\n"), "reach eth0@1[BACKUP] takes 192.0.2.100/24: preempts")
			if preempts != tt.preempts {
				t.Errorf("got %q", got)
			}
		})
	}
}

// applyReloadNow is a reload without the loop's goroutine.
func (b *bench) applyReloadNow() (api.Reload, error) {
	next, problems, err := b.source.Load()
	if err != nil {
		return api.Reload{}, err
	}
	return b.switchTo(next, problems)
}

func TestPlanOfDisabledNode(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.setDisabled(true)
	_, got := b.planned(func(c *config.Config) { c.Groups = append(c.Groups, testGroup("eth0", 2, "192.0.2.101/24")) })
	if len(got) != 1 || !strings.HasPrefix(got[0], "add eth0@2[] none : this node is disabled") {
		t.Errorf("got %q", got)
	}
}

func TestPlanOfText(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.publish()
	ctl := b.operator
	if _, err := ctl.Plan(t.Context(), nil); !errors.Is(err, operator.ErrNoFile) {
		t.Errorf("its own file without one: %v", err)
	}
	_, err := ctl.Plan(
		t.Context(),
		&api.ConfigFile{
			Name: "new.toml",
			Mode: 0o644,
			Text: []byte("[[vip]]\ninterface = \"eth0\"\nvhid = 0\naddresses = []\npassword = \"secret\"\n"),
		},
	)
	e, ok := errors.AsType[*api.Error](err)
	if !ok || e.Code != api.CodeInvalidConfig || len(e.Problems) != 3 ||
		!strings.HasPrefix(e.Problems[0], "new.toml:3: vhid: ") ||
		!strings.Contains(e.Problems[2], "every user can read") {
		t.Errorf("error %v", err)
	}
	plan, err := ctl.Plan(
		t.Context(),
		&api.ConfigFile{Name: "new.toml", Mode: 0o600, Text: []byte("[node]\nname = \"fw1\"\n")},
	)
	if err != nil || len(plan.Changes) != 1 || plan.Changes[0].Action != api.PlanRemove || plan.Source != "new.toml" ||
		len(plan.Warnings) != 2 || !strings.Contains(plan.Warnings[1], "cannot reload") {
		t.Errorf("%+v, %v", plan, err)
	}
	b.expect()
}
