// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"vipd/agent/control/api"
)

func TestPageTellsEverythingInPlainHTML(t *testing.T) {
	t.Parallel()
	n := newNode(2)
	n.change(func(st *api.Status) {
		st.Maintenance, st.Demotion = true, 240
		st.Demotions = []api.Demotion{{Name: "maintenance", Value: 240, Reason: "entered <by> the operator", Since: time.Now()}}
		st.Groups[1].State, st.Groups[1].Reason, st.Groups[1].Dataplane.Answering = api.StateBackup, "better_advert", false
		st.Groups[1].Master = &api.Master{Address: "192.0.2.12", AdvBase: 1, LastSeen: time.Now()}
		st.Groups[1].EffectiveAdvSkew = 240
		st.Groups[0].Description = `<script>alert("x")</script>`
	})
	n.past = []api.Transition{{Time: time.Now(), Group: "eth0@2", From: "MASTER", To: "BACKUP", Reason: "better_advert", Cause: &api.Cause{Address: "192.0.2.12", AdvBase: 1}}}
	a := serve(t, n, nil).browser().get("/")
	for _, want := range []string{
		"<b>vipd</b> <span>fw1</span>", "Maintenance</dt><dd>ON", "Demotion</dt><dd>240", "Preempt</dt><dd>on", "CARP</dt><dd>enabled",
		"entered &lt;by&gt; the operator", "eth0@1", "10.0.0.1/24", "MASTER", "BACKUP", "192.0.2.12", "effective", "1/240",
		"more frequent advertisement received", `<noscript><meta http-equiv="refresh" content="5"></noscript>`, `<form method="get" action="/"`, "&lt;script&gt;",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(a.body, "<script>alert") {
		t.Error("text of the config is not escaped")
	}
	if t.Failed() {
		t.Log(a.body)
	}
}

func TestPageOfTwoGroupsIsSmall(t *testing.T) {
	t.Parallel()
	b := serve(t, newNode(4), nil).browser()
	all := 0
	for _, path := range []string{"/", "/assets/style.css", "/assets/live.js", "/assets/icon.svg"} {
		all += len(b.get(path).body)
	}
	t.Logf("%d bytes in all, uncompressed", all)
	if all > 100<<10 {
		t.Errorf("%d bytes", all)
	}
}

// 4,096 addresses: a page of them is small on the wire, any of them is found, and a change
// of one sends one row.
func TestThousandsOfAddresses(t *testing.T) {
	t.Parallel()
	n := newNode(4096)
	s := serve(t, n, nil)
	b := s.browser()
	a := b.get("/", "Accept-Encoding", "gzip")
	if len(a.body) > 60<<10 {
		t.Errorf("%d bytes on the wire", len(a.body))
	}
	a = b.get("/")
	if got := strings.Count(a.body, `<tr id="r:`); got != pageRows || !strings.Contains(a.body, "page 1 of 41") || !strings.Contains(a.body, `rel="next" href="/?page=2"`) {
		t.Errorf("%d rows on the first page", got)
	}
	if a = b.get("/?page=41"); strings.Count(a.body, `<tr id="r:`) != 4096-40*pageRows {
		t.Errorf("%d rows on the last page", strings.Count(a.body, `<tr id="r:`))
	}
	last := n.st.Groups[4000]
	if a = b.get("/?q=" + strings.Replace(last.Name, "@", "%40", 1)); !strings.Contains(a.body, last.Addresses[0]) || !strings.Contains(a.body, "of 4096 addresses") {
		t.Errorf("%s is not found", last.Name)
	}
	n.change(func(st *api.Status) { st.Groups[4000].Dataplane.Answering = false })
	time.Sleep(watched + 200*time.Millisecond) // the age that a page may have
	if a = b.get("/?sort=problems"); !strings.Contains(a.body[:strings.Index(a.body, "</tr>")+4000], last.Name) {
		t.Error("problems first does not show the problem first")
	}
	// The first sample of the charts changes every row: a slow machine has it only now.
	for strings.Contains(a.body, "no samples yet") {
		time.Sleep(watched / 10)
		a = b.get("/")
	}
	st := openStream(t, s, "view=status&q=eth1%40")
	first := st.next()
	if len(first.Rows) == 0 || len(first.Rows) > pageRows {
		t.Fatalf("%d rows", len(first.Rows))
	}
	// The first sample of the charts is a change of every row; it comes within five seconds.
	sampled := func(m message) bool { return strings.Contains(m.Set[first.Rows[0]], "now 0 /s") }
	if !sampled(first) {
		st.until("the first sample", sampled)
	}
	name := n.st.Groups[255].Name
	n.change(func(st *api.Status) { st.Groups[255].Dataplane.Answering = false })
	for range 20 {
		m := st.next()
		rows := 0
		for id := range m.Set {
			if strings.HasPrefix(id, "r:") {
				rows++
			}
		}
		if rows > 1 {
			t.Fatalf("%d rows were sent for one change", rows)
		}
		if rows == 1 {
			if _, ok := m.Set["r:"+name+":"+n.st.Groups[255].Addresses[0]]; !ok {
				t.Errorf("the wrong row: %v", m.Set)
			}
			return
		}
	}
	t.Error("the change was not sent")
}

type stream struct {
	t *testing.T
	r *bufio.Scanner
}

func openStream(t *testing.T, s *site, query string) *stream {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+"/events?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatal(resp.Status, resp.Header)
	}
	r := bufio.NewScanner(resp.Body)
	r.Buffer(nil, 4<<20)
	return &stream{t, r}
}

func (s *stream) next() message {
	s.t.Helper()
	for s.r.Scan() {
		data, ok := strings.CutPrefix(s.r.Text(), "data: ")
		if !ok {
			continue
		}
		var m message
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			s.t.Fatal(err)
		}
		return m
	}
	s.t.Fatal("the stream has ended:", s.r.Err())
	return message{}
}

// until reads on until a message meets the condition.
func (s *stream) until(what string, ok func(message) bool) message {
	s.t.Helper()
	for range 30 {
		if m := s.next(); ok(m) {
			return m
		}
	}
	s.t.Fatal("never came:", what)
	return message{}
}

func TestStreamTellsChangesAndNothingElse(t *testing.T) {
	t.Parallel()
	n := newNode(3)
	s := serve(t, n, nil)
	s.browser().get("/")
	st := openStream(t, s, "view=status")
	first := st.next()
	if page := s.browser().get("/").body; first.Build == "" || !strings.Contains(page, `data-build="`+first.Build+`"`) {
		t.Errorf("the build %q is not that of the page", first.Build)
	}
	if len(first.Set) != 5+3 || len(first.Rows) != 3 || first.Title == "" || first.At == 0 {
		t.Fatalf("first message: %d parts, rows %v", len(first.Set), first.Rows)
	}
	quiet := st.next()
	if quiet.Rows != nil || len(quiet.Set) > 3 || quiet.Now < first.Now { // the charts have their first sample
		t.Errorf("nothing happened, but %+v", quiet)
	}
	n.change(func(stat *api.Status) {
		stat.Groups[1].State, stat.Groups[1].Dataplane.Answering = api.StateBackup, false
		stat.Groups[1].Master = &api.Master{Address: "192.0.2.12", AdvBase: 1, LastSeen: time.Now()}
	})
	n.mu.Lock()
	n.past = []api.Transition{{Time: time.Now(), Group: "eth0@2", From: "MASTER", To: "BACKUP", Reason: "better_advert"}}
	n.mu.Unlock()
	began := time.Now()
	n.events <- api.Event{Event: api.EventTransition}
	id := "r:eth0@2:10.0.1.1/24"
	m := st.until("the row", func(m message) bool { return m.Set[id] != "" })
	if took := time.Since(began); took > 700*time.Millisecond {
		t.Errorf("the page was told only after %v", took)
	}
	if !strings.Contains(m.Set[id], "BACKUP") || m.Rows != nil || len(m.Say) != 1 || m.Say[0] != "eth0@2 is now BACKUP: more frequent advertisement received." || m.Set["transitions"] == "" {
		t.Errorf("%+v", m)
	}
	n.change(func(stat *api.Status) {
		stat.Groups[1].Master = &api.Master{Address: "192.0.2.12", AdvBase: 1, LastSeen: time.Now()}
	})
	m = st.until("heard", func(m message) bool { return m.Heard[id] != 0 })
	if m.Set[id] != "" {
		t.Error("the whole row is sent for every advert")
	}
	n.change(func(stat *api.Status) { stat.Groups = stat.Groups[:1] })
	m = st.until("two groups go", func(m message) bool { return m.Rows != nil })
	if len(m.Rows) != 1 {
		t.Errorf("rows %v", m.Rows)
	}
}

// A fault of the page costs the page and not the daemon.
func TestPanicIsHeldAway(t *testing.T) {
	t.Parallel()
	broken := true
	var mu sync.Mutex
	s := serve(t, newNode(1), func(o *Options) {
		o.Alive = func(ctx) error {
			mu.Lock()
			defer mu.Unlock()
			if broken {
				panic("as if")
			}
			return nil
		}
	})
	time.Sleep(200 * time.Millisecond) // it has been read at the start
	mu.Lock()
	broken = false
	mu.Unlock()
	if a := s.browser().get("/"); a.status != http.StatusOK {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
}

func TestHungElectionIsTold(t *testing.T) {
	t.Parallel()
	hung := errors.New("no answer")
	s := serve(t, newNode(1), func(o *Options) { o.Alive = func(ctx) error { return hung } })
	if m := openStream(t, s, "view=status").until("dead", func(m message) bool { return m.At != 0 }); m.Dead == "" || !strings.Contains(m.Set["head"], "does not answer") {
		t.Errorf("%+v", m)
	}
	if a := s.browser().get("/healthz"); a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "no answer") {
		t.Errorf("healthz: %d %s", a.status, a.body)
	}
}

func TestHealthz(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(st *api.Status)
		status int
		says   string
	}{
		{"well", func(*api.Status) {}, 200, "ok"},
		{"backup", func(st *api.Status) { st.Groups[0].State, st.Groups[0].Dataplane.Answering = api.StateBackup, false }, 200, "ok"},
		{"no groups", func(st *api.Status) { st.Groups = nil }, 200, "ok"},
		{"maintenance", func(st *api.Status) { st.Maintenance = true }, 200, "in maintenance"},
		{"disabled", func(st *api.Status) { st.Enabled = false }, 503, "vipctl enable"},
		{"init", func(st *api.Status) {
			st.Groups[0].State, st.Groups[0].Reason, st.Groups[0].Detail = api.StateInit, "link_down", "eth0 has no carrier"
		}, 503, "eth0@1 is INIT (link_down): eth0 has no carrier"},
		{"not answering", func(st *api.Status) { st.Groups[0].Dataplane.Answering = false }, 503, "eth0@1 is MASTER and does not answer"},
	} {
		n := newNode(2)
		n.change(tt.change)
		if a := serve(t, n, nil).browser().get("/healthz"); a.status != tt.status || !strings.Contains(a.body, tt.says) {
			t.Errorf("%s: %d %s", tt.name, a.status, a.body)
		}
	}
}

func TestControlsActAndTellHowItEnded(t *testing.T) {
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
		{actResetOf, "ops", "", "remove ops", "ops taken off"},
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
	if page := b.get(a.header.Get("Location")); !strings.Contains(page.body, "nobody took over eth0@2") || !strings.Contains(page.body, `class="flash bad"`) || s.pressed[8] != "yield failed" {
		t.Errorf("a failure is not told; counted %v", s.pressed)
	}
	n.called = nil
	if a := b.post("/do", map[string]string{"action": actResetOf, "name": "maintenance", "csrf": csrf}); a.status != http.StatusSeeOther || n.calls() != "" {
		t.Errorf("maintenance was removed as a demotion: %d %q", a.status, n.calls())
	}
	if a := b.post("/do", map[string]string{"action": "reboot", "csrf": csrf}); a.status != http.StatusNotFound {
		t.Errorf("unknown action: %d", a.status)
	}
	if a := b.get("/confirm?action=yield&name=eth9@9"); a.status != http.StatusNotFound {
		t.Errorf("unknown group: %d", a.status)
	}
}

func TestQuestionSaysWhatMovesAndWarnsWhenNobodyWould(t *testing.T) {
	t.Parallel()
	n := newNode(2)
	n.change(func(st *api.Status) {
		st.Groups[0].Master = &api.Master{Address: "192.0.2.12", AdvBase: 1, AdvSkew: 100, LastSeen: time.Now().Add(-time.Hour)}
	})
	b := serve(t, n, nil).browser()
	b.login()
	_, page := b.confirm(actDisable, "")
	for _, want := range []string{"What will move", "eth0@1", "10.0.0.1/24", "perhaps 192.0.2.12", "no other node was ever heard", "Nobody is known who would take over 1 group"} {
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
	for _, want := range []string{"fw2 is BACKUP for it (1/0)", "nobody: fw2 is INIT", "fw2 is in maintenance too", "stays MASTER here"} {
		if !strings.Contains(page, want) {
			t.Errorf("with another node the question lacks %q:\n%s", want, page)
		}
	}
	n.change(func(st *api.Status) {
		for i := range st.Groups {
			st.Groups[i].State, st.Groups[i].Dataplane.Answering = api.StateBackup, false
		}
	})
	if _, page = b.confirm(actDisable, ""); !strings.Contains(page, "no address moves") || strings.Contains(page, "What will move") {
		t.Errorf("a BACKUP has nothing to move:\n%s", page)
	}
}

func TestNodesSideBySide(t *testing.T) {
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
		"fw2", "not reachable", "different versions", "One node preempts", "eth0@1 is MASTER on fw1 and fw2", "eth0@1 has other addresses on fw1 and fw2",
		"eth0@3 is not configured on fw2", "eth0@2 has advbase 1 on fw1 and 2 on fw2", "127.0.0.1:1",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(a.body, "ens3@2 is not configured") || strings.Contains(a.body, "All nodes are in maintenance") {
		t.Error("differences that are none")
	}
	if t.Failed() {
		t.Log(a.body)
	}
	pair := serve(t, ours, func(o *Options) { o.Nodes = []string{other.base} }).browser().get("/nodes")
	if !strings.Contains(pair.body, "All nodes are in maintenance") {
		t.Error("maintenance on all nodes is not told")
	}
}

func TestWhatOtherNodesAnswerIsBounded(t *testing.T) {
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
