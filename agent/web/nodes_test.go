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
