// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"encoding/json"
	"strings"
	"testing"

	"vipd/agent/control/api"
)

func TestVerbs(t *testing.T) {
	n := &node{status: healthy()}
	n.status.Groups = nil // TestForetell has what is said before
	socket := n.serve(t)
	for _, tt := range []struct {
		args   []string
		change api.Change
		want   string
		asked  string
	}{
		{
			[]string{"disable"},
			api.Change{Changed: true},
			"disabled: this node gives up its virtual IPs until `vipctl enable` or a reboot\n",
			"enabled false",
		},
		{[]string{"disable"}, api.Change{}, "already disabled\n", "enabled false"},
		{
			[]string{"enable"},
			api.Change{Changed: true, Message: "eth0@1 waits for its link."},
			"enabled: this node takes part again\neth0@1 waits for its link.\n",
			"enabled true",
		},
		{[]string{"enable"}, api.Change{}, "already enabled\n", "enabled true"},
		{
			[]string{"maintenance", "enter"},
			api.Change{Changed: true},
			"maintenance mode entered, also after a reboot: the other nodes are asked to take over (`vipctl status` shows it)\n",
			"maintenance true",
		},
		{[]string{"maintenance", "enter"}, api.Change{}, "already in maintenance mode\n", "maintenance true"},
		{[]string{"maintenance", "leave"}, api.Change{Changed: true}, "maintenance mode left\n", "maintenance false"},
		{[]string{"maintenance", "leave"}, api.Change{}, "not in maintenance mode\n", "maintenance false"},
		{[]string{"maintenance", "status"}, api.Change{}, "maintenance: off\n", ""},
		{
			[]string{"maintenance", "status", "-o", "json"},
			api.Change{},
			"{\n  \"enabled\": true,\n  \"maintenance\": false\n}\n",
			"",
		},
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
	for _, tt := range []struct{ args, want string }{
		{"disable", `"changed"`},
		{"enable", `"changed"`},
		{"maintenance enter", `"changed"`},
		{"maintenance enter --wait", `"changed"`},
		{"maintenance leave", `"changed"`},
		{"reload", `"need_restart"`},
		{"yield eth2@3", `"outcome"`},
		{"demotion add a 1", `"demotion"`},
		{"demotion remove a", `"demotion"`},
		{"demotion reset", `"demotion"`},
		{"version", `"vipctl"`},
	} {
		n.asked = nil
		code, out, errs := run(t, Env{}, append([]string{"--socket", socket}, strings.Fields(tt.args+" -o json")...)...)
		if code != ExitOK || errs != "" || !json.Valid([]byte(out)) || !strings.Contains(out, tt.want) {
			t.Errorf("%s -o json: exit %d, %q, %q", tt.args, code, out, errs)
		}
		n.asked = nil
		code, out, errs = run(t, Env{}, append([]string{"--socket", socket}, strings.Fields(tt.args+" -o yaml")...)...)
		if code != ExitUsage || out != "" || !strings.Contains(errs, "allowed are table, json") || n.asked != nil {
			t.Errorf("%s -o yaml: exit %d, %q, %q, asked %q", tt.args, code, out, errs, n.asked)
		}
	}
	n.status.Maintenance, n.status.Enabled = true, false
	const both = "maintenance: on, until `vipctl maintenance leave`\n" +
		"This node is also DISABLED; run `vipctl enable` to end that.\n"
	if _, out, _ := run(t, Env{}, "--socket", socket, "maintenance", "status"); out != both {
		t.Errorf("maintenance status: %q", out)
	}
	n.reload = api.Reload{
		Added:       []string{"eth1@2"},
		Removed:     []string{"eth1@3", "eth1@4"},
		Changed:     []string{"eth0@1"},
		Global:      []string{"carp.preempt"},
		NeedRestart: []string{"http.listen"},
		Warnings:    []string{"f:1: x"},
	}
	_, out, errs := run(t, Env{}, "--socket", socket, "reload")
	if out != "reloaded: added eth1@2; removed eth1@3, eth1@4; changed eth0@1; in force carp.preempt\n"+
		"takes effect only after a restart of vipd: http.listen\n" ||
		errs != "vipctl: warning: f:1: x\n" {
		t.Errorf("reload: %q, %q", out, errs)
	}
}
