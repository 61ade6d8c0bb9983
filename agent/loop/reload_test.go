// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/operator"
)

func (b *bench) reloadTo(groups ...config.Group) api.Reload {
	b.t.Helper()
	next := *b.cfg
	next.Groups = groups
	out, err := b.switchTo(&next, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// Design I7: what a reload does not change is not touched.
func TestReloadOfNothing(t *testing.T) {
	g := testGroup("eth0", 1, "192.0.2.100/24")
	b := newBench(t, g)
	b.master()
	b.reloadTo(g)
	b.expect()
}

func TestReloadLeavesOthersAlone(t *testing.T) {
	first, second := testGroup("eth0", 1, "192.0.2.100/24"), testGroup("eth0", 2, "192.0.2.101/24")
	b := newBench(t, first, second)
	b.master()
	before := b.groups.byName["eth0@1"].machine.View()
	second.AdvSkew = 50
	out := b.reloadTo(first, second)
	if len(out.Changed) != 1 || out.Changed[0] != "eth0@2" {
		t.Errorf("changed %v, want eth0@2", out.Changed)
	}
	b.expect( // worse, so the kernel knows before the advert
		"priority 10@2 1/50", "record sent 10@2", "advert 1/50 from 192.0.2.11",
		"role 10@2 MASTER generation 1 lease 2.97s", "gratuitous arp", "gratuitous arp",
	)
	if after := b.groups.byName["eth0@1"].machine.View(); after != before {
		t.Errorf("the other group moved:\n%+v\n%+v", before, after)
	}
}

// The kernel goes by another peer_memory at once, and nothing else happens.
func TestReloadOfPeerMemory(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	next := *b.cfg
	next.Carp.PeerMemory = time.Hour
	out, err := b.switchTo(&next, nil)
	if err != nil || !slices.Equal(out.Global, []string{"carp.peer_memory"}) {
		t.Errorf("%+v, %v", out, err)
	}
	if got := b.group("eth0@1").entry.spec.PeerMemory; got != time.Hour {
		t.Errorf("the data plane remembers for %v", got)
	}
	b.expect("update 10@1 1 addresses")
}

func TestReloadMovesAddressesOfAMaster(t *testing.T) {
	g := testGroup("eth0", 1, "192.0.2.100/24", "192.0.2.101/24")
	b := newBench(t, g)
	b.master()
	g.Addresses = []netip.Prefix{netip.MustParsePrefix("192.0.2.101/24"), netip.MustParsePrefix("192.0.2.102/24")}
	b.reloadTo(g)
	b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
	log := b.drain()
	for _, want := range []string{"del 192.0.2.100 from 10", "update 10@1 2 addresses", "add 192.0.2.102 to 10"} {
		if !slices.Contains(log, want) {
			t.Errorf("no %q in %q", want, log)
		}
	}
	if slices.Contains(log, "del 192.0.2.101 from 10") {
		t.Error("an address that stays was taken off")
	}
}

func TestReloadAddsAndRemoves(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	b.reloadTo(testGroup("eth0", 2, "192.0.2.101/24"))
	b.expectState("eth0@2", election.Backup, election.ReasonStartup)
	if log := b.drain(); !slices.Contains(log, "advert 255/255 from 192.0.2.11") {
		t.Errorf("no goodbye of the removed group: %q", log)
	}
	if _, ok := b.groups.byName["eth0@1"]; !ok {
		t.Fatal("the removed group is gone before its handover")
	}
	b.pass(3 * time.Second)
	if _, ok := b.groups.byName["eth0@1"]; ok {
		t.Error("the removed group is still there after its lease")
	}
	if st := b.status(); len(st.Groups) != 1 || st.Groups[0].Name != "eth0@2" {
		t.Errorf("groups = %+v, want eth0@2", st.Groups)
	}
}

func TestReloadRefusedChangesNothing(t *testing.T) {
	g := testGroup("eth0", 1, "192.0.2.100/24")
	b := newBench(t, g)
	b.master()
	b.source.Load = func() (*config.Config, []config.Problem, error) {
		return nil, nil, &config.Error{
			Problems: []config.Problem{{File: "vipd.toml", Line: 3, Key: "vip.vhid", Message: "wrong"}},
		}
	}
	_, err := b.operator.Reload(t.Context(), false)
	e, ok := errors.AsType[*api.Error](err)
	if !ok || e.Code != api.CodeInvalidConfig || len(e.Problems) != 1 {
		t.Errorf("error %v, want invalid_config with the problem", err)
	}
	b.expect()
	b.source.Load = nil
	if _, err := b.operator.Reload(t.Context(), false); !errors.Is(err, operator.ErrNoFile) {
		t.Errorf("reload without a file: %v, want %v", err, operator.ErrNoFile)
	}
}

// An address that goes from one group to another on the interface: in the data plane it
// has one owner, and the groups beside them have no part in it.
func TestReloadMovesAddressesBetweenGroups(t *testing.T) {
	b3 := func(addresses ...string) []config.Group {
		var out []config.Group
		for i, a := range addresses {
			out = append(out, testGroup("eth0", uint8(i+1), a))
		}
		return out
	}
	groups := b3("192.0.2.100/24", "192.0.2.101/24", "192.0.2.102/24")
	moved := testGroup("eth0", 30, "192.0.2.102/24")
	for _, tt := range []struct {
		name string
		next []config.Group
		host []string // of the changed groups afterwards
	}{
		{"to another vhid", []config.Group{moved, groups[0], groups[1]}, nil},
		{
			"swapped", b3("192.0.2.100/24", "192.0.2.102/24", "192.0.2.101/24"),
			[]string{"eth0@2 192.0.2.102", "eth0@3 192.0.2.101"},
		},
		{
			"from a removed one",
			[]config.Group{groups[0], testGroup("eth0", 2, "192.0.2.101/24", "192.0.2.102/24")},
			[]string{"eth0@2 192.0.2.101", "eth0@2 192.0.2.102"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, groups...)
			b.master()
			before := b.groups.byName["eth0@1"].machine.View()
			b.reloadTo(tt.next...)
			b.syncInterfaces()
			log := b.drain()
			if after := b.groups.byName["eth0@1"].machine.View(); after != before {
				t.Errorf("eth0@1 moved:\n%+v\n%+v", before, after)
			}
			for _, g := range b.groups.order {
				if g.fault != 0 {
					t.Errorf("%s: %s, %s", g.name, g.fault, g.detail)
				}
			}
			for _, want := range tt.host {
				name, addr, _ := strings.Cut(want, " ")
				if _, has := b.groups.byName[name].onHost.addresses[netip.MustParseAddr(addr)]; !has {
					t.Errorf("%s is not on the host for %s: %q", addr, name, log)
				}
				added, removed := lastIndex(log, "add "+addr+" to 10"), lastIndex(log, "del "+addr+" from 10")
				if added < removed {
					t.Errorf("%s was taken off after it was added: %q", addr, log)
				}
			}
			if tt.host != nil {
				b.expectState("eth0@2", election.Master, election.ReasonMasterTimeout)
			}
		})
	}
}

func lastIndex(log []string, line string) int {
	at := -1
	for i, l := range log {
		if l == line {
			at = i
		}
	}
	return at
}

// A group that comes back while it is on its way out is a new one, and stays.
func TestReloadAddsAGroupThatIsOnItsWayOut(t *testing.T) {
	first, second := testGroup("eth0", 1, "192.0.2.100/24"), testGroup("eth0", 2, "192.0.2.101/24")
	b := newBench(t, first, second)
	b.master()
	b.reloadTo(first)
	if g := b.groups.byName["eth0@2"]; g == nil || !g.lifecycle.removed {
		t.Fatal("the removed group did not wait for a successor")
	}
	b.reloadTo(first, second)
	b.expectState("eth0@2", election.Backup, election.ReasonStartup)
	b.pass(3 * time.Second)
	b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
	b.expectState("eth0@2", election.Master, election.ReasonMasterTimeout)
	if len(b.groups.order) != 2 {
		t.Errorf("%d groups, want 2", len(b.groups.order))
	}
}

// TestReloadKeepsWhatNeedsARestart: what is not in force yet is told again by the next
// reload or plan, and not taken for what runs.
func TestReloadKeepsWhatNeedsARestart(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	next := *b.cfg
	next.Node = config.Node{Name: "x", StateDir: "/x", RuntimeDir: "/x", BPFDir: "/x"}
	next.Control = config.Control{Socket: "/x", Group: "x"}
	next.HTTP.Listen, next.HTTP.Controls, next.HTTP.TokenFile, next.HTTP.Hosts = "x", true, "/x", []string{"x"}
	next.Web = config.Web{WidgetOrigins: []string{"x"}, Nodes: []string{"x"}}
	next.XDP.Mode = config.ModeNative
	next.Record.Memory++
	next.Record.Incidents++
	next.Record.Save = !next.Record.Save
	first, err := b.switchTo(&next, nil)
	if err != nil || len(first.NeedRestart) != 16 {
		t.Fatalf("%d keys need a restart: %q, %v", len(first.NeedRestart), first.NeedRestart, err)
	}
	again, err := b.switchTo(&next, nil)
	if err != nil || !slices.Equal(again.NeedRestart, first.NeedRestart) {
		t.Errorf("the second time %q, the first time %q, %v", again.NeedRestart, first.NeedRestart, err)
	}
}

// TestReloadOfManyGroups: the loop, and with it every election, waits for a reload.
func TestReloadOfManyGroups(t *testing.T) {
	var groups []config.Group
	for i := range 1000 {
		g := testGroup("eth0", uint8(i%250+1), fmt.Sprintf("10.0.%d.%d/16", i/250, i%250+1))
		g.Interface = fmt.Sprintf("eth%d", i/250)
		groups = append(groups, g)
	}
	b := newBench(t, groups...)
	next := slices.Clone(groups)
	for i := range next {
		next[i].AdvSkew = 100
	}
	next = next[500:]
	at := time.Now()
	out := b.reloadTo(next...)
	took := time.Since(at)
	t.Logf("%d removed, %d changed in %v", len(out.Removed), len(out.Changed), took)
	if len(out.Removed) != 500 || len(out.Changed) != 500 {
		t.Errorf("%d removed, %d changed", len(out.Removed), len(out.Changed))
	}
	if took > masterDownOfTests {
		t.Errorf("every election waited for %v", took)
	}
}

// masterDownOfTests is how long peers wait for a master with advbase 1.
const masterDownOfTests = 3 * time.Second

// A file that was emptied or cut off gives nothing up.
func TestReloadOfAnEmptyFileIsRefused(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"), testGroup("eth0", 2, "192.0.2.101/24"))
	b.master()
	empty := *b.cfg
	empty.Groups, empty.Source = nil, "/etc/vipd/vipd.toml"
	err := b.mayDrop(&empty, false)
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.CodeNoGroups ||
		!strings.Contains(e.Message, "vipctl reload --force") {
		t.Errorf("refused with %v", err)
	}
	b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
	one := empty
	one.Groups = b.cfg.Groups[:1]
	if err := errors.Join(b.mayDrop(&one, false), b.mayDrop(&empty, true)); err != nil {
		t.Error(err)
	}
	b.cfg = &empty // none were running: nothing is lost
	if err := b.mayDrop(&empty, false); err != nil {
		t.Error(err)
	}
}

// A config that the tables of the data plane cannot hold is refused as a whole, by a reload and by its plan.
func TestReloadThatNeedsMoreRoomIsRefused(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	next := *b.cfg
	next.Source = "/etc/vipd/vipd.toml"
	next.Groups = append(slices.Clone(next.Groups), testGroup("eth0", 2, "192.0.2.101/24"))
	commands := Commands{b.Loop}
	for _, room := range []config.Size{{Groups: 1, Addresses: 2}, {Groups: 2, Addresses: 1}} {
		b.room = room
		_, err := commands.SwitchTo(&next, nil, false)
		if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.CodeNoRoom ||
			!strings.Contains(e.Message, "vipctl restart --hand-over") {
			t.Errorf("room for %+v: refused with %v", room, err)
		}
		if len(b.cfg.Groups) != 1 || b.groups.byName["eth0@2"] != nil {
			t.Fatal("half of a refused reload was carried out")
		}
	}
	b.source.Load = func() (*config.Config, []config.Problem, error) { return &next, nil, nil }
	_, err := b.operator.Plan(t.Context(), nil)
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.CodeNoRoom {
		t.Errorf("planned: %v", err)
	}
	b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
	b.room = config.Size{Groups: 2, Addresses: 2}
	if _, err := commands.SwitchTo(&next, nil, false); err != nil || len(b.cfg.Groups) != 2 {
		t.Errorf("with room: %v", err)
	}
}
