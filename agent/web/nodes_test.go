// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
)

func TestNodesPageListsDifferences(t *testing.T) {
	t.Parallel()
	ours, theirs := newNode(3), newNode(2)
	theirs.change(func(st *api.Status) {
		st.Node, st.Version, st.Preempt, st.Maintenance = "fw2", "1.0.0", false, true
		st.Groups[0].Addresses = []string{"10.0.0.1/24", "10.0.0.2/24"}
		st.Groups[1].AdvBase = 2
		st.Groups[1].State, st.Groups[1].Dataplane.Answering = api.StateBackup, false
		st.Groups[1].Name = "ens3@2" // another interface name, the same VHID and address
		st.Groups[1].VHID, st.Groups[0].VHID = 1, 1
	})
	ours.change(func(st *api.Status) { st.Maintenance = true })
	other := serve(t, theirs, nil)
	b := serve(t, ours, func(o *Options) { o.Nodes = []string{other.base, "http://127.0.0.1:1"} }).browser()
	a := b.get("/nodes")
	for _, want := range []string{
		"fw2", "not reachable", "different versions", "Preemption is on for one node", "eth0@1 is MASTER on fw1 and fw2",
		"eth0@1 has different addresses on fw1 and fw2",
		"eth0@3 is not configured on fw2", "eth0@2 has advbase 1 on fw1 and 2 on fw2", "127.0.0.1:1",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(a.body, "ens3@2 is not configured") || strings.Contains(a.body, "All nodes are in maintenance") {
		t.Error("the page lists differences that do not exist")
	}
	if t.Failed() {
		t.Log(a.body)
	}
	pair := serve(t, ours, func(o *Options) { o.Nodes = []string{other.base} }).browser().get("/nodes")
	if !strings.Contains(pair.body, "All nodes are in maintenance") {
		t.Error("maintenance on all nodes is not reported")
	}
}

// Nodes that report are compared without being configured; what they do not report is not a difference.
func TestNodesPageShowsNodesThatReport(t *testing.T) {
	t.Parallel()
	n := newNode(2)
	plain := serve(t, n, nil).browser()
	if a := plain.get("/"); strings.Contains(a.body, `href="/nodes"`) {
		t.Error("a node without others has a link to them")
	}
	no := false
	report := api.PeerGroup{
		Group: "eth0@1", Address: "192.0.2.12", State: api.StateBackup, AdvBase: 1, AdvSkew: 100, EffectiveAdvSkew: 240,
		Demotion: 140, Demotions: []string{"link:eth7"}, Preempt: &no, Addresses: []string{"10.0.0.9"},
		Hello: true, Current: true, LastSeen: time.Now(),
		Differences: []api.Difference{
			{Code: api.DiffersAddresses, Text: "only fw2 has 10.0.0.9"}, {Code: api.DiffersVersion, Text: "finish the upgrade"},
		},
	}
	gone := report
	gone.Current, gone.Differences = false, nil
	n.change(func(st *api.Status) {
		st.Groups[0].Standbys = []api.Standby{{Node: "fw2", Address: "192.0.2.12", AdvBase: 1, EffectiveAdvSkew: 240}}
		n.peers = api.Peers{Node: "fw1", Peers: []api.Peer{
			{Node: "fw2", Vipd: true, Version: "1.0.0", Groups: []api.PeerGroup{report}},
			{Node: "fw3", Vipd: true, Version: "9.8.7", Groups: []api.PeerGroup{gone}, LastSeen: time.Now()},
			{LastSeen: time.Now(), Groups: []api.PeerGroup{{Group: "eth0@2", Address: "192.0.2.77", State: api.StateMaster}}},
		}}
	})
	plain = serve(t, n, nil).browser()
	if a := plain.get("/"); !strings.Contains(a.body, `href="/nodes"`) || !strings.Contains(a.body, "fw2 1/240") {
		t.Errorf("the status page has neither link nor standby:\n%s", a.body)
	}
	a := plain.get("/nodes")
	for _, want := range []string{
		"fw2", "by its reports", "different versions", "Preemption is on for one node", "Only fw2 has 10.0.0.9.",
		"link:eth7", "no report", "Cannot read the status of fw3: it stopped reporting at",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, not := range []string{"eth0@2 is not configured on", "has different addresses", "192.0.2.77", "two masters"} {
		if strings.Contains(a.body, not) {
			t.Errorf("the page says %q", not)
		}
	}
	n.change(func(st *api.Status) { st.Groups[0].State = api.StateBackup })
	if a := serve(t, n, nil).browser().get("/nodes"); strings.Contains(a.body, "fw3") {
		t.Error("on a BACKUP a node that reports to the MASTER alone is shown as silent")
	}
	if t.Failed() {
		t.Log(a.body)
	}
}

// A hello may carry less of a version than the status: only a reported difference is one.
func TestNodesPageComparesCutVersions(t *testing.T) {
	t.Parallel()
	n := newNode(1)
	long := strings.Repeat("1", 70)
	report := api.PeerGroup{
		Group: "eth0@1", Address: "192.0.2.12", State: api.StateBackup, Hello: true, Current: true, LastSeen: time.Now(),
	}
	page := func() string {
		n.change(func(st *api.Status) {
			st.Version = long
			st.Groups[0].Standbys = []api.Standby{{Node: "fw2", Address: "192.0.2.12", AdvBase: 1}}
			n.peers = api.Peers{Node: "fw1", Peers: []api.Peer{
				{Node: "fw2", Vipd: true, Version: long[:63], Groups: []api.PeerGroup{report}},
			}}
		})
		return serve(t, n, nil).browser().get("/nodes").body
	}
	if body := page(); strings.Contains(body, "different versions") || !strings.Contains(body, "by its reports") {
		t.Errorf("the page of two nodes of one version:\n%s", body)
	}
	report.Differences = []api.Difference{{Code: api.DiffersVersion, Text: "finish the upgrade"}}
	if body := page(); !strings.Contains(body, "different versions") {
		t.Errorf("the page of two nodes of different versions:\n%s", body)
	}
}

func TestAnswersOfOtherNodesAreBounded(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
		"no status": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) },
		"garbage":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `<html>`) },
		"error":     func(w http.ResponseWriter, _ *http.Request) { http.Error(w, strings.Repeat("x", 1000), 500) },
		"slow":      func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		},
	} {
		srv := newHTTPServer(t, h)
		n := newNodes([]string{srv})
		began := time.Now()
		got := n.look(t.Context())
		if got[0].status != nil || got[0].problem == "" || len(got[0].problem) > 400 {
			t.Errorf("%s: %+v", name, got[0])
		}
		if took := time.Since(began); took > 3*nodeTimeout {
			t.Errorf("%s took %v", name, took)
		}
		if again := n.look(t.Context()); again[0].problem != got[0].problem {
			t.Errorf("%s: asked again at once", name)
		}
	}
}
