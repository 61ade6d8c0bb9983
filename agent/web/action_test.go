// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
)

func TestControlsActAndShowTheirResult(t *testing.T) {
	t.Parallel()
	n := newNode(2)
	n.change(func(st *api.Status) { st.Demotions = []api.Demotion{{Name: "ops", Value: 5}}; st.Demotion = 5 })
	s := serve(t, n, nil)
	b := s.browser()
	b.login()
	for _, tt := range []struct{ action, name, force, call, says string }{
		{actDisable, "", "", "enabled false", "CARP is disabled"},
		{actEnable, "", "", "enabled true", "CARP is enabled"},
		{actEnter, "", "", "enter maintenance, force false", "Maintenance mode is on"},
		{actEnter, "", "yes", "enter maintenance, force true", "Maintenance mode is on"},
		{actLeave, "", "", "maintenance false", "Maintenance mode is off"},
		{actReset, "", "", "reset", "Demotion reset (ops)"},
		{actResetOf, "ops", "", "remove ops", "ops removed"},
		{actYield, "eth0@2", "", "yield eth0@2, force false", "handed over to 192.0.2.12"},
	} {
		n.mu.Lock()
		n.called = nil
		n.mu.Unlock()
		csrf, _ := b.confirm(tt.action, tt.name)
		a := b.post("/do", map[string]string{"action": tt.action, "name": tt.name, "force": tt.force, "csrf": csrf})
		if a.status != http.StatusSeeOther || n.calls() != tt.call {
			t.Errorf("%s: %d, called %q, want %q", tt.action, a.status, n.calls(), tt.call)
			continue
		}
		if page := b.get(a.header.Get("Location")); !strings.Contains(page.body, tt.says) {
			t.Errorf("%s: the page does not say %q", tt.action, tt.says)
		}
	}
	if len(s.pressed) != 8 || s.pressed[0] != "disable ok" {
		t.Errorf("counted %v", s.pressed)
	}
	n.failing = api.Errorf(api.CodeNoSuccessor, "nobody took over eth0@2")
	csrf, _ := b.confirm(actYield, "eth0@2")
	a := b.post("/do", map[string]string{"action": actYield, "name": "eth0@2", "csrf": csrf})
	if page := b.get(a.header.Get("Location")); !strings.Contains(page.body, "nobody took over eth0@2") ||
		!strings.Contains(page.body, `class="flash bad"`) || s.pressed[8] != "yield failed" {
		t.Errorf("a failure is not shown; counted %v", s.pressed)
	}
	n.called = nil
	a = b.post("/do", map[string]string{"action": actResetOf, "name": "maintenance", "csrf": csrf})
	if a.status != http.StatusSeeOther || n.calls() != "" {
		t.Errorf("maintenance was removed as a demotion: %d %q", a.status, n.calls())
	}
	if a := b.post("/do", map[string]string{"action": "reboot", "csrf": csrf}); a.status != http.StatusNotFound {
		t.Errorf("unknown action: %d", a.status)
	}
	if a := b.get("/confirm?action=yield&name=eth9@9"); a.status != http.StatusNotFound {
		t.Errorf("unknown group: %d", a.status)
	}
}

func TestQuestionListsMovesAndWarnsWithoutSuccessor(t *testing.T) {
	t.Parallel()
	n := newNode(2)
	n.change(func(st *api.Status) {
		st.Groups[0].Master = &api.Master{
			Address:  "192.0.2.12",
			AdvBase:  1,
			AdvSkew:  100,
			LastSeen: time.Now().Add(-time.Hour),
		}
		st.Groups[0].StandbysUnknown = "192.0.2.12 is no vipd"
	})
	b := serve(t, n, nil).browser()
	b.login()
	_, page := b.confirm(actDisable, "")
	for _, want := range []string{
		"What will move", "eth0@1", "10.0.0.1/24", "perhaps 192.0.2.12", "no other node was ever heard",
		"No node is known to take over 1 group",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("without other nodes the question lacks %q:\n%s", want, page)
		}
	}
	peer := newNode(2)
	peer.change(func(st *api.Status) {
		st.Node = "fw2"
		st.Maintenance = true
		st.Groups[0].State, st.Groups[0].Dataplane.Answering = api.StateBackup, false
		st.Groups[1].State, st.Groups[1].Reason, st.Groups[1].Dataplane.Answering = api.StateInit, "link_down", false
	})
	other := serve(t, peer, nil)
	b = serve(t, n, func(o *Options) { o.Nodes = []string{other.base} }).browser()
	b.login()
	_, page = b.confirm(actEnter, "")
	for _, want := range []string{
		"fw2 is BACKUP for it (1/0)", "no node: fw2 is INIT", "fw2 is also in maintenance mode",
		"stays MASTER here",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("with another node the question lacks %q:\n%s", want, page)
		}
	}
	n.change(func(st *api.Status) {
		st.Groups[0].StandbysUnknown = ""
		st.Groups[0].Standbys = []api.Standby{{
			Node: "fw3", Address: "192.0.2.13", State: api.StateBackup, AdvBase: 1, AdvSkew: 100, EffectiveAdvSkew: 100,
		}}
		st.Groups[1].Master = &api.Master{Address: "192.0.2.13", Proven: true}
	})
	b = serve(t, n, nil).browser()
	b.login()
	_, page = b.confirm(actDisable, "")
	for _, want := range []string{
		"fw3 (192.0.2.13, 1/100) takes over", "no other node stands by", "No node is known to take over 1 group",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("with a standby the question lacks %q:\n%s", want, page)
		}
	}
	n.change(func(st *api.Status) {
		for i := range st.Groups {
			st.Groups[i].State, st.Groups[i].Dataplane.Answering = api.StateBackup, false
		}
	})
	if _, page = b.confirm(actDisable, ""); !strings.Contains(page, "no address moves") ||
		strings.Contains(page, "What will move") {
		t.Errorf("the page of a BACKUP lists moves:\n%s", page)
	}
}
