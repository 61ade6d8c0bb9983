// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"vipd/agent/control"
	"vipd/agent/control/api"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The tests here do not run in parallel: the flag library keeps its help flag in a
// variable of its package.

func testNow() time.Time { return time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC) }

// node is a daemon with a real socket and canned answers.
type node struct {
	mu     sync.Mutex
	status api.Status
	change api.Change
	reload api.Reload
	demote api.DemotionChange

	handover api.Handover
	history  api.History
	events   []api.Event
	restart  api.Restart
	why      map[string]api.Why
	err      error
	asked    []string
}

func (n *node) Status(context.Context) (api.Status, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.status, n.err
}

func (n *node) Group(_ context.Context, name string) (api.Group, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, g := range n.status.Groups {
		if g.Name == name {
			return g, nil
		}
	}
	return api.Group{}, api.Errorf(api.CodeNoSuchGroup, "no such group")
}

func (n *node) did(what string) (api.Change, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, what)
	return n.change, n.err
}

func (n *node) SetEnabled(_ context.Context, on bool) (api.Change, error) {
	return n.did("enabled " + strconv.FormatBool(on))
}

func (n *node) SetMaintenance(_ context.Context, on bool) (api.Change, error) {
	return n.did("maintenance " + strconv.FormatBool(on))
}

func (n *node) EnterMaintenance(_ context.Context, force bool) (api.Change, error) {
	return n.did("maintenance and wait, force " + strconv.FormatBool(force))
}

func (n *node) Yield(_ context.Context, name string, force bool) (api.Handover, error) {
	_, err := n.did("yield " + name + ", force " + strconv.FormatBool(force))
	return n.handover, err
}

func (n *node) Restart(context.Context) (api.Restart, error) {
	_, err := n.did("restart")
	return n.restart, err
}

func (n *node) Why(_ context.Context, name string) (api.Why, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w, ok := n.why[name]
	if !ok {
		return api.Why{}, api.Errorf(api.CodeNoSuchGroup, "no such group")
	}
	return w, n.err
}

func (n *node) History(_ context.Context, group string, count int) (api.History, error) {
	_, err := n.did("history " + group + " " + strconv.Itoa(count))
	return n.history, err
}

func (n *node) Events(context.Context) (api.Event, <-chan api.Event, func()) {
	events := make(chan api.Event, len(n.events))
	for _, ev := range n.events {
		events <- ev
	}
	close(events)
	return api.Event{Time: testNow(), Event: api.EventBegin, Node: "fw1"}, events, func() {}
}

func (n *node) Reload(context.Context) (api.Reload, error) {
	_, err := n.did("reload")
	return n.reload, err
}

func (n *node) Demotions(context.Context) (api.Demotions, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return api.Demotions{Demotion: n.status.Demotion, Demotions: n.status.Demotions}, n.err
}

func (n *node) AddDemotion(_ context.Context, d api.NewDemotion) (api.DemotionChange, error) {
	_, err := n.did(fmt.Sprintf("add %s %d %v %q", d.Name, d.Value, d.Duration(), d.Reason))
	return n.demote, err
}

func (n *node) RemoveDemotion(_ context.Context, name string) (api.DemotionChange, error) {
	_, err := n.did("remove " + name)
	return n.demote, err
}

func (n *node) ResetDemotions(context.Context) (api.DemotionChange, error) {
	_, err := n.did("reset")
	return n.demote, err
}

func (n *node) serve(t *testing.T) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	s := control.New(n, control.Options{Socket: socket, Version: api.Version})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return socket
}

// run executes vipctl and returns its exit code and output.
func run(t *testing.T, env Env, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env.Stdout, env.Stderr, env.Now = &out, &errs, testNow
	code = Run(t.Context(), append([]string{"vipctl"}, args...), env)
	return code, out.String(), errs.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), -update if meant:\n%s", name, diff)
	}
}

// healthy is a node with a MASTER, two BACKUPs and all counters set.
func healthy() api.Status {
	since := testNow().Add(-3*time.Minute - 5*time.Second)
	return api.Status{
		Version: api.Version, Node: "fw1", Enabled: true, Preempt: true,
		Groups: []api.Group{
			{
				Name: "eth10@1", Interface: "eth10", VHID: 1, State: api.StateBackup, Reason: "startup", Since: since,
				Addresses: []string{"198.51.100.1/24"}, AdvBase: 1, AdvSkew: 100, EffectiveAdvSkew: 100,
				Master:    &api.Master{Address: "198.51.100.12", AdvBase: 1, LastSeen: testNow().Add(-400 * time.Millisecond)},
				Dataplane: api.Dataplane{Mode: "native", Egress: "tcx"},
			},
			{
				Name: "eth2@20", Interface: "eth2", VHID: 20, State: api.StateBackup, Reason: "better_advert", Since: since,
				Addresses: []string{"203.0.113.1/24"}, AdvBase: 1, Dataplane: api.Dataplane{Mode: "generic"},
			},
			{
				Name: "eth2@3", Interface: "eth2", VHID: 3, State: api.StateMaster, Reason: "master_timeout", Since: since,
				Description: "LAN gateway", Addresses: []string{"192.0.2.100/24", "192.0.2.101/24"}, VirtualMAC: "00:00:5e:00:01:03",
				AdvBase: 1, Dataplane: api.Dataplane{Mode: "generic", Egress: "tcx", Answering: true},
				Master:     &api.Master{Address: "192.0.2.12", AdvBase: 1, AdvSkew: 100, LastSeen: testNow().Add(-2 * time.Hour)},
				Generation: 4, LeaseRemainingSeconds: 2.9,
				Counters: api.Counters{
					AdvertisementsSent: 185, AdvertisementsReceived: 3,
					AdvertisementsRejected: map[string]uint64{"bad_hmac": 2, "loop": 1, "bad_ttl": 0},
					FramesDropped:          map[string]uint64{"not_answering_arp": 7},
					Packets:                1000, Bytes: 64000,
				},
				VIPs: []api.VIP{{Address: "192.0.2.100", ARPRequests: 10, ARPReplies: 9}, {Address: "192.0.2.101"}},
			},
		},
	}
}

// troubled is a node on which nothing is as it should be.
func troubled() api.Status {
	st := healthy()
	st.Maintenance, st.Demotion = true, 480
	st.Demotions = []api.Demotion{
		{Name: "maintenance", Value: 240, Since: testNow().Add(-time.Hour)},
		{Name: "link:eth1", Value: 240, Reason: "eth1 has no carrier", Since: testNow().Add(-30 * time.Second)},
	}
	st.Warnings = []string{"group \"vipd\" does not exist"}
	st.Version = "0.2.0"
	st.Groups[0].State, st.Groups[0].Reason, st.Groups[0].Master = api.StateInit, "link_down", nil
	st.Groups[0].Detail = "eth10 has no carrier: check the cable"
	st.Groups[1].State = api.StateMaster
	for i := range st.Groups {
		st.Groups[i].EffectiveAdvSkew = 240
	}
	return st
}

// rotating is a dual-stack node in a change of password, demoted for a while.
func rotating() api.Status {
	st := healthy()
	st.Demotion = 340
	st.Demotions = []api.Demotion{
		{Name: "check:uplink", Value: 240, Since: testNow().Add(-time.Minute), Reason: "arp 192.0.2.1 on eth0: no answer within 1s"},
		{Name: "maintenance", Value: 240, Since: testNow().Add(-time.Hour), Reason: "entered by the operator"},
		{Name: "relief", Value: -240, Since: testNow().Add(-time.Hour)},
		{Name: "upgrade", Value: 100, Since: testNow().Add(-2 * time.Minute), Expires: testNow().Add(8 * time.Minute), Reason: "router upgrade"},
	}
	g := &st.Groups[2]
	g.Families = []api.Family{
		{Family: api.FamilyIPv4, LastSeen: testNow().Add(-400 * time.Millisecond)},
		{Family: api.FamilyIPv6, LastSeen: testNow().Add(-time.Minute), Silent: true},
	}
	g.SilentFamily = api.FamilyIPv6
	g.Contexts = []api.Context{{Name: "own", Received: 100}, {Name: "accept 1", Received: 3}}
	g.Counters.LoopsSuspected = 2
	st.Groups[1].Families = []api.Family{{Family: api.FamilyIPv6}}
	return st
}

func disabledNode() api.Status {
	st := healthy()
	st.Enabled = false
	for i := range st.Groups {
		g := &st.Groups[i]
		g.State, g.Reason, g.Detail, g.Dataplane.Answering = api.StateInit, api.ReasonDisabled, "the node is disabled", false
	}
	return st
}

func TestStatus(t *testing.T) {
	n := &node{}
	socket := n.serve(t)
	term := func(pairs ...string) func(string) string {
		return func(k string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == k {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	for _, tt := range []struct {
		name   string
		status api.Status
		env    Env
		args   []string
	}{
		{"status", healthy(), Env{}, []string{"status"}},
		{"status-wide", healthy(), Env{}, []string{"status", "-o", "wide"}},
		{"status-json", healthy(), Env{}, []string{"status", "--output=json"}},
		{"status-terminal", healthy(), Env{Terminal: true}, []string{"status"}},
		{"status-terminal-no-colour", troubled(), Env{Terminal: true, Getenv: term("NO_COLOR", "1")}, []string{"status"}},
		{"status-troubled", troubled(), Env{}, []string{"status"}},
		{"status-troubled-wide", troubled(), Env{}, []string{"status", "-o", "wide"}},
		{"status-disabled", disabledNode(), Env{}, []string{"status"}},
		{"status-empty", api.Status{Node: "fw1", Enabled: true, Version: api.Version}, Env{}, []string{"status"}},
		{"show-rotation", rotating(), Env{}, []string{"show", "eth2@3"}},
		{"status-rotation", rotating(), Env{}, []string{"status"}},
		{"demotion-list", rotating(), Env{}, []string{"demotion", "list"}},
		{"demotion-list-json", rotating(), Env{}, []string{"demotion", "list", "-o", "json"}},
		{"demotion-list-empty", healthy(), Env{}, []string{"demotion", "list"}},
		{"show", healthy(), Env{}, []string{"show", "eth2@3"}},
		{"show-json", healthy(), Env{}, []string{"show", "-o", "json", "eth10@1"}},
		{"show-troubled", troubled(), Env{Terminal: true}, []string{"show", "eth10@1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n.mu.Lock()
			n.status = tt.status
			n.mu.Unlock()
			code, out, errs := run(t, tt.env, append([]string{"--socket", socket}, tt.args...)...)
			if code != ExitOK || errs != "" {
				t.Errorf("exit %d, stderr %q", code, errs)
			}
			golden(t, tt.name, out)
		})
	}
}

func TestCheck(t *testing.T) {
	change := func(f func(*api.Status)) api.Status {
		st := healthy()
		f(&st)
		return st
	}
	n := &node{}
	socket := n.serve(t)
	for _, tt := range []struct {
		name   string
		status api.Status
		code   int
		want   string
	}{
		{"healthy", healthy(), ExitOK, "ok: 1 MASTER, 2 BACKUP\n"},
		{"nothing configured", api.Status{Enabled: true}, ExitOK, "ok: no virtual IPs are configured\n"},
		{"init", change(func(s *api.Status) { s.Groups[0].State, s.Groups[0].Reason = "INIT", "link_down" }), ExitDegraded, "degraded: eth10@1 is INIT (link_down)\n"},
		{"not answering", change(func(s *api.Status) { s.Groups[2].Dataplane.Answering = false }), ExitDegraded, "degraded: eth2@3 is MASTER (not answering)\n"},
		{"disabled", disabledNode(), ExitDegraded, "degraded: this node is disabled\n"},
		{"maintenance", change(func(s *api.Status) {
			s.Maintenance, s.Demotion = true, 240
			s.Demotions = []api.Demotion{{Name: "maintenance", Value: 240}}
		}), ExitDegraded, "degraded: this node is in maintenance\n"},
		{"demoted", change(func(s *api.Status) { s.Demotion, s.Demotions = 10, []api.Demotion{{Name: "ops", Value: 10}} }), ExitDegraded, "degraded: this node is demoted by 10 (ops)\n"},
		{"demoted, sum only", change(func(s *api.Status) { s.Demotion = 10 }), ExitDegraded, "degraded: this node is demoted by 10\n"},
		{"negative demotion", change(func(s *api.Status) { s.Demotion, s.Demotions = -1, []api.Demotion{{Name: "ops", Value: -1}} }), ExitOK, "ok: 1 MASTER, 2 BACKUP\n"},
		{"a state of the future", change(func(s *api.Status) { s.Groups[0].State = "FOO" }), ExitDegraded, "degraded: eth10@1 is FOO\n"},
		{"several", troubled(), ExitDegraded, "degraded: this node is in maintenance; this node is demoted by 240 (link:eth1); eth2@20 is MASTER (not answering); eth10@1 is INIT (link_down)\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n.mu.Lock()
			n.status = tt.status
			n.mu.Unlock()
			code, out, errs := run(t, Env{}, "--socket", socket, "status", "--check")
			if code != tt.code || out != tt.want || errs != "" {
				t.Errorf("exit %d, stdout %q, stderr %q; want %d, %q", code, out, errs, tt.code, tt.want)
			}
			code, out, errs = run(t, Env{}, "--socket", socket, "status", "--check", "-o", "json")
			if code != tt.code || !strings.HasPrefix(out, "{") || (errs != "") != (code != 0) {
				t.Errorf("with -o json: exit %d, stdout %q, stderr %q", code, out, errs)
			}
		})
	}
}

func TestVerbs(t *testing.T) {
	n := &node{status: healthy()}
	socket := n.serve(t)
	for _, tt := range []struct {
		args   []string
		change api.Change
		want   string
		asked  string
	}{
		{[]string{"disable"}, api.Change{Changed: true}, "disabled: this node gives up its virtual IPs until `vipctl enable` or a reboot\n", "enabled false"},
		{[]string{"disable"}, api.Change{}, "already disabled\n", "enabled false"},
		{[]string{"enable"}, api.Change{Changed: true, Message: "eth0@1 waits for its link."}, "enabled: this node takes part again\neth0@1 waits for its link.\n", "enabled true"},
		{[]string{"enable"}, api.Change{}, "already enabled\n", "enabled true"},
		{[]string{"maintenance", "enter"}, api.Change{Changed: true}, "maintenance mode entered, also after a reboot: the other nodes are asked to take over (`vipctl status` shows it)\n", "maintenance true"},
		{[]string{"maintenance", "enter"}, api.Change{}, "already in maintenance mode\n", "maintenance true"},
		{[]string{"maintenance", "leave"}, api.Change{Changed: true}, "maintenance mode left\n", "maintenance false"},
		{[]string{"maintenance", "leave"}, api.Change{}, "not in maintenance mode\n", "maintenance false"},
		{[]string{"maintenance", "status"}, api.Change{}, "maintenance: off\n", ""},
		{[]string{"maintenance", "status", "-o", "json"}, api.Change{}, "{\n  \"maintenance\": false,\n  \"enabled\": true\n}\n", ""},
		{[]string{"reload"}, api.Change{}, "reloaded: nothing changed\n", "reload"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			n.mu.Lock()
			n.change, n.asked = tt.change, nil
			n.mu.Unlock()
			code, out, errs := run(t, Env{}, append([]string{"--socket", socket}, tt.args...)...)
			if code != ExitOK || out != tt.want || errs != "" || strings.Join(n.asked, ",") != tt.asked {
				t.Errorf("exit %d, stdout %q, stderr %q, asked %q", code, out, errs, n.asked)
			}
		})
	}
	n.status.Maintenance, n.status.Enabled = true, false
	if _, out, _ := run(t, Env{}, "--socket", socket, "maintenance", "status"); out != "maintenance: on, until `vipctl maintenance leave`\nThis node is DISABLED as well: `vipctl enable` ends that.\n" {
		t.Errorf("maintenance status: %q", out)
	}
	n.reload = api.Reload{Added: []string{"eth1@2"}, Removed: []string{"eth1@3", "eth1@4"}, Changed: []string{"eth0@1"}, Global: []string{"carp.preempt"}, NeedRestart: []string{"http.listen"}, Warnings: []string{"f:1: x"}}
	_, out, errs := run(t, Env{}, "--socket", socket, "reload")
	if out != "reloaded: added eth1@2; removed eth1@3, eth1@4; changed eth0@1; in force carp.preempt\nonly a restart of vipd puts in force: http.listen\n" || errs != "vipctl: warning: f:1: x\n" {
		t.Errorf("reload: %q, %q", out, errs)
	}
}

func TestRefusals(t *testing.T) {
	n := &node{status: healthy()}
	socket := n.serve(t)
	for _, tt := range []struct {
		name string
		err  error
		args []string
		code int
		want string
	}{
		{"config", &api.Error{Code: api.CodeInvalidConfig, Message: "the new config is refused, nothing changed:", Problems: []string{"f:1: vhid: x", "f:2: y"}}, []string{"reload"}, ExitFailure, "vipctl: the new config is refused, nothing changed:\n  f:1: vhid: x\n  f:2: y\n"},
		{"disk", errors.New("write /var/lib/vipd: no space left on device"), []string{"maintenance", "enter"}, ExitFailure, "vipctl: write /var/lib/vipd: no space left on device\n"},
		{"no such group", nil, []string{"show", "eth9@9"}, ExitFailure, "vipctl: there is no group eth9@9; there are eth2@3, eth2@20, eth10@1\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n.mu.Lock()
			n.err = tt.err
			n.mu.Unlock()
			code, out, errs := run(t, Env{}, append([]string{"--socket", socket}, tt.args...)...)
			if code != tt.code || out != "" || errs != tt.want {
				t.Errorf("exit %d, stdout %q, stderr %q", code, out, errs)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	const commands = "status, show, why, disable, enable, maintenance, demotion, yield, history, events, reload, restart, config, version, completion, help"
	for _, tt := range []struct{ args, want string }{
		{"", "which command? There are " + commands + "; see `vipctl --help`"},
		{"stauts", `there is no command "stauts"; there are ` + commands},
		{"--bogus", "flag provided but not defined: -bogus; see `vipctl --help`"},
		{"status --bogus", "flag provided but not defined: -bogus; see `vipctl status --help`"},
		{"status -o yaml", `--output "yaml" is unknown; allowed are table, wide, json`},
		{"status eth0@1", "\"eth0@1\" is one argument too many: `vipctl status [flags]`"},
		{"status --check --watch", "--check answers once and --watch does not end; use one of them"},
		{"show", "GROUP is missing: `vipctl show [flags] GROUP`"},
		{"show eth0@1 -o json", "flag -o stands after an argument and would be ignored: put flags first, as in `vipctl show [flags] GROUP`"},
		{"show -o wide eth0@1", `--output "wide" is unknown; allowed are table, json`},
		{"disable now", "\"now\" is one argument too many: `vipctl disable [flags]`"},
		{"maintenance", "which command? There are enter, leave, status, help; see `vipctl maintenance --help`"},
		{"maintenance toggle", `there is no command "toggle"; there are enter, leave, status, help`},
		{"maintenance enter --force", "--force without --wait has no effect: nothing is given up then; add --wait, or leave --force out"},
		{"maintenance leave --force", "flag provided but not defined: -force; see `vipctl maintenance leave --help`"},
		{"help bogus", "No help topic for 'bogus'"},
		{"completion tcsh", `there is no completion for "tcsh"; allowed are bash, zsh and fish`},
	} {
		t.Run(tt.args, func(t *testing.T) {
			code, out, errs := run(t, Env{}, strings.Fields(tt.args)...)
			if code != ExitUsage || out != "" || !strings.HasPrefix(errs, "vipctl: "+tt.want) {
				t.Errorf("exit %d, stdout %q, stderr %q, want %q", code, out, errs, tt.want)
			}
		})
	}
}

// TestSocket: before the command, after it, in the environment; the nearest wins.
func TestSocket(t *testing.T) {
	n := &node{status: healthy()}
	socket := n.serve(t)
	env := Env{Getenv: func(k string) string {
		if k == "VIPD_SOCKET" {
			return socket
		}
		return ""
	}}
	for _, args := range [][]string{
		{"status"},
		{"--socket", socket, "status"},
		{"status", "--socket", socket},
		{"--socket", "/none", "status", "--socket", socket},
		{"maintenance", "--socket", socket, "status"},
		{"maintenance", "status", "--socket", socket},
	} {
		if code, _, errs := run(t, env, args...); code != ExitOK {
			t.Errorf("%q: exit %d, %s", args, code, errs)
		}
	}
	for _, args := range [][]string{{"--socket", "/none", "status"}, {"--socket", socket, "status", "--socket", "/none"}} {
		code, out, errs := run(t, env, args...)
		if code != ExitUnreachable || out != "" || !strings.Contains(errs, "not reachable at /none") || !strings.Contains(errs, "systemctl start vipd") {
			t.Errorf("%q: exit %d, %q, %q", args, code, out, errs)
		}
	}
	if code, _, errs := run(t, Env{}, "disable"); code != ExitUnreachable || !strings.Contains(errs, api.DefaultSocket) {
		t.Errorf("default socket: exit %d, %s", code, errs)
	}
}

func TestOutputLost(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	n := &node{status: healthy()}
	var errs bytes.Buffer
	code := Run(t.Context(), []string{"vipctl", "--socket", n.serve(t), "status"}, Env{Stdout: full, Stderr: &errs})
	if code != ExitFailure || !strings.Contains(errs.String(), "the output could not be written") {
		t.Errorf("exit %d, %q", code, errs.String())
	}
}

func TestVersion(t *testing.T) {
	n := &node{status: healthy()}
	socket := n.serve(t)
	code, out, errs := run(t, Env{}, "--socket", socket, "version")
	if code != ExitOK || !strings.HasPrefix(out, "vipctl 0.1.0 (go1.") || !strings.HasSuffix(out, "\nvipd 0.1.0 (node fw1)\n") || errs != "" {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	n.status.Version = "0.2.0"
	if _, _, errs = run(t, Env{}, "--socket", socket, "version"); !strings.Contains(errs, "the versions differ") {
		t.Errorf("other version: %q", errs)
	}
	code, out, errs = run(t, Env{}, "--socket", "/none", "version")
	if code != ExitOK || !strings.HasPrefix(out, "vipctl 0.1.0") || !strings.Contains(errs, "not reachable at /none") {
		t.Errorf("no daemon: exit %d, %q, %q", code, out, errs)
	}
}

func TestCompletion(t *testing.T) {
	n := &node{status: healthy()}
	socket := n.serve(t)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if code, out, errs := run(t, Env{}, "completion", shell); code != ExitOK || !strings.Contains(out, "vipctl") || errs != "" {
			t.Errorf("%s: exit %d, %q", shell, code, errs)
		}
	}
	if _, out, _ := run(t, Env{}, "--socket", socket, "show", "--generate-bash-completion"); out != "eth2@3\neth2@20\neth10@1\n" {
		t.Errorf("groups: %q", out)
	}
}

// TestEveryCommandHelps walks all commands.
func TestEveryCommandHelps(t *testing.T) {
	var walk func(path []string, commands []*cli.Command)
	walk = func(path []string, commands []*cli.Command) {
		for _, c := range commands {
			if c.Name == "help" {
				continue
			}
			at := append(append([]string{}, path...), c.Name)
			code, out, errs := run(t, Env{}, append(at, "--help")...)
			if code != ExitOK || errs != "" || c.Usage == "" || !strings.Contains(out, "EXAMPLE:\n      vipctl "+strings.Join(at, " ")) && !strings.Contains(out, "EXAMPLE:\n      source") || !strings.Contains(out, "--socket PATH") {
				t.Errorf("%q: exit %d, %s\n%s", at, code, errs, out)
			}
			walk(at, c.Subcommands)
		}
	}
	p := &program{env: Env{Getenv: func(string) string { return "" }}}
	walk(nil, p.app().Commands)
}

// lockedBuffer is written by Run and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestWatch(t *testing.T) {
	n := &node{status: healthy()}
	socket := n.serve(t)
	for _, tty := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		var out, errs lockedBuffer
		ended := make(chan int)
		go func() {
			ended <- Run(ctx, []string{"vipctl", "--socket", socket, "status", "--watch"}, Env{Stdout: &out, Stderr: &errs, Now: testNow, Terminal: tty})
		}()
		for deadline := time.Now().Add(10 * time.Second); strings.Count(out.String(), "eth2@20") < 2; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no second frame: %q, %q", out.String(), errs.String())
			}
		}
		cancel()
		if code := <-ended; code != ExitOK || errs.String() != "" {
			t.Errorf("exit %d, %q", code, errs.String())
		}
		if redrawn := strings.Count(out.String(), "\x1b[H"); tty != (redrawn >= 2) {
			t.Errorf("terminal %v: redrawn %d times", tty, redrawn)
		}
	}
}

func TestNatural(t *testing.T) {
	t.Parallel()
	names := []string{"a", "eth", "eth0", "eth00", "eth0.7", "eth0.10", "eth2", "eth10", "wan"}
	for i, a := range names {
		for j, b := range names {
			if got := natural(a, b); got < 0 != (i < j) || got == 0 != (i == j) {
				t.Errorf("natural(%q, %q) = %d", a, b, got)
			}
		}
	}
}

func TestAge(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{
		"0.0s": -time.Second, "0.4s": 400 * time.Millisecond, "59s": 59 * time.Second, "1m5s": 65 * time.Second,
		"2h0m": 2 * time.Hour, "3d4h": 76 * time.Hour,
	} {
		if got := age(d); got != want {
			t.Errorf("age(%v) = %q, want %q", d, got, want)
		}
	}
}

// TestImports: of the agent vipctl knows the control API alone, and that knows nothing
// of vipd.
func TestImports(t *testing.T) {
	t.Parallel()
	for dir, allowed := range map[string][]string{".": {"vipd/agent/control/api"}, "../agent/control/api": nil, "../cmd/vipctl": {"vipd/vipctl"}} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(dir, files, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, imp := range f.Imports {
				path, err := strconv.Unquote(imp.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(path, "vipd/") && !slices.Contains(allowed, path) {
					t.Errorf("%s imports %s", file, path)
				}
			}
		}
	}
}
