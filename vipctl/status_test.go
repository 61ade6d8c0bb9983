// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"strings"
	"testing"

	"vipd/agent/control/api"
)

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
		{"status-waiting", waiting(), Env{}, []string{"status"}},
		{"show-waiting", waiting(), Env{}, []string{"show", "eth0@1"}},
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
		{
			"init",
			change(func(s *api.Status) { s.Groups[0].State, s.Groups[0].Reason = "INIT", "link_down" }),
			ExitDegraded,
			"degraded: eth10@1 is INIT (link_down)\n",
		},
		{
			"not answering",
			change(func(s *api.Status) { s.Groups[2].Dataplane.Answering = false }),
			ExitDegraded,
			"degraded: eth2@3 is MASTER (not answering)\n",
		},
		{"disabled", disabledNode(), ExitDegraded, "degraded: this node is disabled\n"},
		{"maintenance", change(func(s *api.Status) {
			s.Maintenance, s.Demotion = true, 240
			s.Demotions = []api.Demotion{{Name: "maintenance", Value: 240}}
		}), ExitDegraded, "degraded: this node is in maintenance\n"},
		{
			"demoted",
			change(func(s *api.Status) { s.Demotion, s.Demotions = 10, []api.Demotion{{Name: "ops", Value: 10}} }),
			ExitDegraded,
			"degraded: this node is demoted by 10 (ops)\n",
		},
		{
			"demoted, sum only",
			change(func(s *api.Status) { s.Demotion = 10 }),
			ExitDegraded,
			"degraded: this node is demoted by 10\n",
		},
		{
			"negative demotion",
			change(func(s *api.Status) { s.Demotion, s.Demotions = -1, []api.Demotion{{Name: "ops", Value: -1}} }),
			ExitOK,
			"ok: 1 MASTER, 2 BACKUP\n",
		},
		{
			"a state of the future",
			change(func(s *api.Status) { s.Groups[0].State = "FOO" }),
			ExitDegraded,
			"degraded: eth10@1 is FOO\n",
		},
		{
			"several",
			troubled(),
			ExitDegraded,
			"degraded: this node is in maintenance; this node is demoted by 240 (link:eth1); eth2@20 is MASTER (not " +
				"answering); eth10@1 is INIT (link_down)\n",
		},
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
