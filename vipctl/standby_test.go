// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
)

// threeMasters is a node that is MASTER of a group with two standbys, of one without, and of one with a peer that is
// not vipd; it is BACKUP of a fourth.
func threeMasters() api.Status {
	st := healthy()
	g := st.Groups[2]
	g.Standbys = append(g.Standbys, standby("fw3", "192.0.2.13", 200))
	alone, foreign := g, g
	alone.Name, alone.VHID, alone.Standbys, alone.Master = "eth2@4", 4, nil, nil
	foreign.Name, foreign.VHID, foreign.Standbys = "eth2@5", 5, nil
	foreign.StandbysUnknown = "192.0.2.12 is no vipd"
	st.Groups = []api.Group{foreign, g, alone, st.Groups[0]}
	return st
}

// Before a command gives addresses away it says which node will take them over, or that none would.
func TestForetell(t *testing.T) {
	const (
		taken   = "eth2@3: fw2 (192.0.2.12, 1/100) takes over\n"
		none    = "eth2@4: no other node stands by\n"
		unknown = "eth2@5: who takes over is unknown, since 192.0.2.12 is no vipd\n"
		entered = "maintenance mode entered, also after a reboot: the other nodes are asked to take over " +
			"(`vipctl status` shows it)\n"
	)
	n := &node{change: api.Change{Changed: true}, handover: api.Handover{Group: "eth2@3", Outcome: api.OutcomeNotMaster}}
	socket := n.serve(t)
	lazy := func(st *api.Status) {
		for i := range st.Groups {
			for j := range st.Groups[i].Standbys {
				st.Groups[i].Standbys[j].Preempt = false
			}
		}
	}
	for _, tt := range []struct {
		name, args string
		change     func(*api.Status)
		want       string
	}{
		{"maintenance", "maintenance enter", nil, taken + none + unknown + entered},
		{
			"a peer that does not preempt",
			"maintenance enter",
			lazy,
			"eth2@3: fw2 (192.0.2.12, 1/100) does not preempt a living master\n" + none + unknown + entered,
		},
		{
			"a goodbye asks such a peer",
			"maintenance enter --wait",
			lazy,
			taken + none + unknown + "maintenance mode entered, also after a reboot\n",
		},
		{
			"both in maintenance",
			"maintenance enter",
			func(st *api.Status) {
				for i := range st.Groups[1].Standbys {
					s := &st.Groups[1].Standbys[i]
					s.Maintenance, s.Demotion, s.EffectiveAdvSkew = true, 240, 240
				}
			},
			"eth2@3: fw2 (192.0.2.12, 1/240) advertises no more often than this node in maintenance mode (1/240)\n" +
				none + unknown + entered,
		},
		{
			"a demoted standby",
			"maintenance enter",
			func(st *api.Status) {
				s := &st.Groups[1].Standbys[0]
				s.Demotion, s.EffectiveAdvSkew = 100, 200
			},
			"eth2@3: fw2 (192.0.2.12, 1/200) takes over, although it is demoted by 100\n" + none + unknown + entered,
		},
		{"already in maintenance", "maintenance enter", func(st *api.Status) { st.Maintenance = true }, entered},
		{
			"disable",
			"disable",
			nil,
			taken + none + unknown + "disabled: this node gives up its virtual IPs until `vipctl enable` or a reboot\n",
		},
		{
			"no MASTER",
			"disable",
			func(st *api.Status) { st.Groups = st.Groups[3:] },
			"this node is MASTER of no group: no address moves\n" +
				"disabled: this node gives up its virtual IPs until `vipctl enable` or a reboot\n",
		},
		{"yield", "yield eth2@3", nil, taken + "eth2@3: nothing to hand over, it is  here\n"},
		{"yield of a BACKUP", "yield eth10@1", nil, "eth2@3: nothing to hand over, it is  here\n"},
		{"enable", "enable", nil, "enabled: this node takes part again\n"},
		{"leave", "maintenance leave", nil, "maintenance mode left\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n.mu.Lock()
			n.status = threeMasters()
			if tt.change != nil {
				tt.change(&n.status)
			}
			n.mu.Unlock()
			args := append([]string{"--socket", socket}, strings.Fields(tt.args)...)
			if code, out, errs := run(t, Env{}, args...); code != ExitOK || out != tt.want || errs != "" {
				t.Errorf("exit %d, stderr %q, stdout\n%swant\n%s", code, errs, out, tt.want)
			}
			_, out, errs := run(t, Env{}, append(args, "-o", "json")...)
			before := strings.Count(tt.want, "\n") - 1
			if !strings.HasPrefix(out, "{\n") || strings.Count(errs, "\n") != before {
				t.Errorf("with -o json: stdout %q, stderr %q", out, errs)
			}
		})
	}
}

func TestPeers(t *testing.T) {
	in, yes := 3.390625, true
	seen := testNow().Add(-time.Second)
	fw2 := api.PeerGroup{
		Group: "eth0@1", Address: "192.0.2.12", State: api.StateBackup, AdvBase: 1, AdvSkew: 100, EffectiveAdvSkew: 100,
		Preempt: &yes, Addresses: []string{"192.0.2.100"}, TakesOverIn: &in, LastSeen: seen, Hello: true, Current: true,
	}
	other := fw2
	other.Group = "eth1@2"
	fw3 := fw2
	fw3.Address, fw3.EffectiveAdvSkew, fw3.Demotion, fw3.Demotions = "192.0.2.13", 240, 140, []string{"link:eth1"}
	fw3.Differences = []api.Difference{{Code: api.DiffersAddresses, Text: "fw3 lacks 192.0.2.101, which fw1 has"}}
	old := fw2
	old.Address, old.Current, old.LastSeen = "192.0.2.14", false, testNow().Add(-90*time.Second)
	off := fw2
	off.Address, off.State, off.Disabled, off.TakesOverIn = "192.0.2.15", api.StateInit, true, nil
	n := &node{peers: api.Peers{Node: "fw1", Peers: []api.Peer{
		{Node: "fw2", Vipd: true, Version: "0.1.0", LastSeen: seen, Groups: []api.PeerGroup{fw2, other}},
		{Node: "fw3", Vipd: true, Version: "0.1.0", LastSeen: seen, Groups: []api.PeerGroup{fw3}},
		{Node: "fw4", Vipd: true, Version: "0.1.0", LastSeen: old.LastSeen, Groups: []api.PeerGroup{old}},
		{Node: "fw5", Vipd: true, Version: "0.1.0", LastSeen: seen, Groups: []api.PeerGroup{off}},
		{LastSeen: seen, Groups: []api.PeerGroup{{
			Group: "eth1@7", Address: "198.51.100.2", State: api.StateMaster, AdvBase: 1, LastSeen: seen,
		}}},
	}}}
	socket := n.serve(t)
	code, out, errs := run(t, Env{}, "--socket", socket, "peers")
	if code != ExitOK || errs != "" {
		t.Errorf("exit %d, stderr %q", code, errs)
	}
	golden(t, "peers", out)
	rows, _, _ := strings.Cut(out, "\n\n")
	for line := range strings.Lines(rows) {
		if len(line) > 81 {
			t.Errorf("wraps at 80 columns: %s", line)
		}
	}
	_, out, _ = run(t, Env{}, "--socket", socket, "peers", "-o", "json")
	if !strings.Contains(out, `"takes_over_in": 3.390625`) {
		t.Errorf("as JSON: %s", out)
	}
	n.peers.Peers = nil
	if _, out, _ := run(t, Env{}, "--socket", socket, "peers"); out != "No other node was heard.\n" {
		t.Errorf("none: %q", out)
	}
	n.peers.NoAddress = []string{"eth0@1"}
	want := "No other node was heard.\neth0@1: this node cannot exchange hellos without an address of its own\n"
	if _, out, _ := run(t, Env{}, "--socket", socket, "peers"); out != want {
		t.Errorf("without an address: %q", out)
	}
}
