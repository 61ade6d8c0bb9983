// SPDX-License-Identifier: Apache-2.0

package web

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vipd/agent/control/api"
)

func TestStatusPageNeedsNoScript(t *testing.T) {
	t.Parallel()
	n := newNode(2)
	n.change(func(st *api.Status) {
		st.Maintenance, st.Demotion = true, 240
		st.Demotions = []api.Demotion{
			{Name: "maintenance", Value: 240, Reason: "entered <by> the operator", Since: time.Now()},
		}
		st.Groups[1].State, st.Groups[1].Reason, st.Groups[1].Dataplane.Answering = api.StateBackup, "better_advert", false
		st.Groups[1].Master = &api.Master{Address: "192.0.2.12", AdvBase: 1, LastSeen: time.Now()}
		st.Groups[1].EffectiveAdvSkew = 240
		st.Groups[0].Description = `<script>alert("x")</script>`
	})
	n.past = []api.Transition{
		{
			Time:   time.Now(),
			Group:  "eth0@2",
			From:   "MASTER",
			To:     "BACKUP",
			Reason: "better_advert",
			Cause:  &api.Cause{Address: "192.0.2.12", AdvBase: 1},
		},
	}
	a := serve(t, n, nil).browser().get("/")
	for _, want := range []string{
		"<b>vipd</b> <span>fw1</span>", "Maintenance</dt><dd>ON", "Demotion</dt><dd>240", "Preempt</dt><dd>on",
		"CARP</dt><dd>enabled",
		"entered &lt;by&gt; the operator", "eth0@1", "10.0.0.1/24", "MASTER", "BACKUP", "192.0.2.12", "effective", "1/240",
		"more frequent advertisement received", `<noscript><meta http-equiv="refresh" content="5"></noscript>`,
		`<form method="get" action="/"`, "&lt;script&gt;",
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

// With 4,096 addresses a page is small on the wire, every address can be found, and the change
// of one address sends one row.
func TestPageWith4096Addresses(t *testing.T) {
	t.Parallel()
	n := newNode(4096)
	s := serve(t, n, nil)
	b := s.browser()
	a := b.get("/", "Accept-Encoding", "gzip")
	if len(a.body) > 60<<10 {
		t.Errorf("%d bytes on the wire", len(a.body))
	}
	a = b.get("/")
	if got := strings.Count(a.body, `<tr id="r:`); got != pageRows || !strings.Contains(a.body, "page 1 of 41") ||
		!strings.Contains(a.body, `rel="next" href="/?page=2"`) {
		t.Errorf("%d rows on the first page", got)
	}
	if a = b.get("/?page=41"); strings.Count(a.body, `<tr id="r:`) != 4096-40*pageRows {
		t.Errorf("%d rows on the last page", strings.Count(a.body, `<tr id="r:`))
	}
	last := n.st.Groups[4000]
	if a = b.get("/?q=" + strings.Replace(last.Name, "@", "%40", 1)); !strings.Contains(a.body, last.Addresses[0]) ||
		!strings.Contains(a.body, "of 4096 addresses") {
		t.Errorf("%s is not found", last.Name)
	}
	n.change(func(st *api.Status) { st.Groups[4000].Dataplane.Answering = false })
	time.Sleep(watched + 200*time.Millisecond) // the age that a page may have
	if a = b.get("/?sort=problems"); !strings.Contains(a.body[:strings.Index(a.body, "</tr>")+4000], last.Name) {
		t.Error("problems first does not show the problem first")
	}
	// The first sample of the charts changes every row; on a slow machine it may come only now.
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

// A bug of the page must not stop the daemon.
func TestPanicWhileReadingDoesNotStopThePage(t *testing.T) {
	t.Parallel()
	broken := true
	var mu sync.Mutex
	s := serve(t, newNode(1), func(o *Options) {
		o.Alive = func() error {
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

func TestHungElectionIsShown(t *testing.T) {
	t.Parallel()
	hung := errors.New("no answer")
	s := serve(t, newNode(1), func(o *Options) { o.Alive = func() error { return hung } })
	m := openStream(t, s, "view=status").until("dead", func(m message) bool { return m.At != 0 })
	if m.Dead == "" || !strings.Contains(m.Set["head"], "does not answer") {
		t.Errorf("%+v", m)
	}
	a := s.browser().get("/healthz")
	if a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "no answer") {
		t.Errorf("healthz: %d %s", a.status, a.body)
	}
}

func TestHealthzFailsUnlessAllGroupsServe(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(st *api.Status)
		status int
		says   string
	}{
		{"well", func(*api.Status) {}, 200, "ok"},
		{
			"backup",
			func(st *api.Status) { st.Groups[0].State, st.Groups[0].Dataplane.Answering = api.StateBackup, false },
			200,
			"ok",
		},
		{"no groups", func(st *api.Status) { st.Groups = nil }, 200, "ok"},
		{"maintenance", func(st *api.Status) { st.Maintenance = true }, 200, "in maintenance"},
		{"disabled", func(st *api.Status) { st.Enabled = false }, 503, "vipctl enable"},
		{"init", func(st *api.Status) {
			st.Groups[0].State, st.Groups[0].Reason, st.Groups[0].Detail = api.StateInit, "link_down", "eth0 has no carrier"
		}, 503, "eth0@1 is INIT (link_down): eth0 has no carrier"},
		{
			"not answering",
			func(st *api.Status) { st.Groups[0].Dataplane.Answering = false },
			503,
			"eth0@1 is MASTER and does not answer",
		},
	} {
		n := newNode(2)
		n.change(tt.change)
		if a := serve(t, n, nil).browser().get("/healthz"); a.status != tt.status || !strings.Contains(a.body, tt.says) {
			t.Errorf("%s: %d %s", tt.name, a.status, a.body)
		}
	}
}

// The probes need no status: they answer at once, whatever the node does, also to HEAD and whatever the Host is.
func TestProbes(t *testing.T) {
	t.Parallel()
	hung := errors.New("its last round began 3s ago")
	many := slices.Repeat([]string{"not attached"}, maxReasons+5)
	for _, tt := range []struct {
		path    string
		alive   error
		unready []string
		status  int
		body    string
	}{
		{"/livez", nil, nil, 200, "ok\n"},
		{"/livez", nil, []string{"stopping"}, 200, "ok\n"},
		{"/livez", hung, []string{"stopping"}, 503, "the election loop does not answer: its last round began 3s ago\n"},
		{"/readyz", nil, nil, 200, "ok\n"},
		{
			"/readyz", hung,
			[]string{"stopping", "not attached"},
			503,
			"the election loop does not answer: its last round began 3s ago\nstopping\nnot attached\n",
		},
		{"/readyz", nil, many, 503, strings.Repeat("not attached\n", maxReasons) + "and 5 more\n"},
	} {
		s := serve(t, newNode(1), func(o *Options) {
			o.Alive, o.Unready = func() error { return tt.alive }, func() []string { return tt.unready }
		})
		a := s.browser().get(tt.path, "Host", "anything")
		if a.status != tt.status || a.body != tt.body || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %q, want %d %q", tt.path, a.status, a.body, tt.status, tt.body)
		}
		resp, err := http.Head(s.base + tt.path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.status {
			t.Errorf("HEAD %s: %d, want %d", tt.path, resp.StatusCode, tt.status)
		}
	}
}
