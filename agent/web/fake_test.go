// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vipd/agent/control/api"
)

const testToken = "a token of 24 characters"

// node is a Backend that records the calls.
type node struct {
	mu   sync.Mutex
	st   api.Status
	past []api.Transition

	peers     api.Peers
	incidents []api.Incident
	called    []string
	failing   error
	events    chan api.Event
}

func newNode(groups int) *node {
	n := &node{
		events: make(chan api.Event, 16),
		st:     api.Status{Version: "9.8.7", Node: "fw1", Enabled: true, Preempt: true, Demotions: []api.Demotion{}},
	}
	for i := range groups {
		name, address := fmt.Sprintf("eth%d@%d", i/255, i%255+1), fmt.Sprintf("10.%d.%d.1/24", i/250, i%250)
		n.st.Groups = append(n.st.Groups, masterGroup(name, address))
	}
	return n
}

func masterGroup(name, address string) api.Group {
	return api.Group{
		Name:        name,
		Interface:   "eth0",
		VHID:        1,
		State:       api.StateMaster,
		Reason:      "master_timeout",
		Since:       time.Now().Add(-time.Hour),
		Addresses:   []string{address},
		AdvBase:     1,
		Description: "the " + name,
		Dataplane:   api.Dataplane{Mode: "native", Egress: "tcx", Answering: true},
		Counters: api.Counters{
			AdvertisementsRejected: map[string]uint64{"bad_hmac": 0},
		},
		VIPs: []api.VIP{{Address: strings.Split(address, "/")[0]}},
	}
}

// change alters the status as the agent would.
func (n *node) change(f func(st *api.Status)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.st.Groups = append([]api.Group(nil), n.st.Groups...)
	for i := range n.st.Groups {
		n.st.Groups[i].Counters.AdvertisementsRejected = maps.Clone(n.st.Groups[i].Counters.AdvertisementsRejected)
	}
	f(&n.st)
}

func (n *node) call(what string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.called = append(n.called, what)
	return n.failing
}

func (n *node) calls() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.called, ", ")
}

func (n *node) Status(context.Context) (api.Status, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.st, nil
}

func (n *node) History(context.Context, string, int) (api.History, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return api.History{Transitions: slices.Clone(n.past)}, nil
}

func (n *node) Peers(context.Context) (api.Peers, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.peers, nil
}

func (n *node) Incidents(context.Context) (api.Incidents, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return api.Incidents{Incidents: n.incidents}, nil
}

func (n *node) Incident(_ context.Context, id uint64) (api.Incident, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, in := range n.incidents {
		if in.ID == id {
			return in, nil
		}
	}
	return api.Incident{}, api.Errorf(api.CodeNotFound, "there is no incident %d", id)
}

func (n *node) Why(_ context.Context, name string) (api.Why, error) {
	return api.Why{Because: []string{"it is " + name}}, nil
}

func (n *node) Events(context.Context) (api.Event, <-chan api.Event, func()) {
	return api.Event{}, n.events, func() {}
}

func (n *node) SetEnabled(_ context.Context, on bool) (api.Change, error) {
	return api.Change{Changed: true, Enabled: on}, n.call(fmt.Sprintf("enabled %v", on))
}

func (n *node) SetMaintenance(_ context.Context, on bool) (api.Change, error) {
	return api.Change{Changed: true}, n.call(fmt.Sprintf("maintenance %v", on))
}

func (n *node) EnterMaintenance(_ context.Context, force bool) (api.Change, error) {
	return api.Change{Changed: true}, n.call(fmt.Sprintf("enter maintenance, force %v", force))
}

func (n *node) Yield(_ context.Context, name string, force bool) (api.Handover, error) {
	h := api.Handover{Group: name, Outcome: api.OutcomeHandedOver, Successor: "192.0.2.12"}
	return h, n.call(fmt.Sprintf("yield %s, force %v", name, force))
}

func (n *node) RemoveDemotion(_ context.Context, name string) (api.DemotionChange, error) {
	return api.DemotionChange{Changed: true}, n.call("remove " + name)
}

func (n *node) ResetDemotions(context.Context) (api.DemotionChange, error) {
	return api.DemotionChange{Changed: true, Removed: []string{"ops"}}, n.call("reset")
}

// site is a running server with its counters.
type site struct {
	t      *testing.T
	node   *node
	server *Server
	base   string

	mu      sync.Mutex
	refused map[string]int
	pressed []string
}

func serve(t *testing.T, n *node, change func(*Options)) *site {
	t.Helper()
	s := &site{t: t, node: n, refused: map[string]int{}}
	opts := Options{
		Controls: true, Token: []byte(testToken),
		Refused: func(reason string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.refused[reason]++
		},
		Pressed: func(action, outcome string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.pressed = append(s.pressed, action+" "+outcome)
		},
	}
	if change != nil {
		change(&opts)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.base = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	s.server = New(n, opts)
	go func() { done <- s.server.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *site) count(reason string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused[reason]
}

// browser keeps its cookie and does not follow redirects.
type browser struct {
	*site
	cookie *http.Cookie
	client http.Client
}

func (s *site) browser() *browser {
	b := &browser{site: s}
	b.client = http.Client{
		Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return b
}

type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request with headers, key and value by turns.
func (b *browser) ask(method, path, body string, headers ...string) answer {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.base+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	if b.cookie != nil {
		req.AddCookie(b.cookie)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range resp.Cookies() {
		b.cookie = c
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

func (b *browser) get(path string, headers ...string) answer {
	b.t.Helper()
	return b.ask(http.MethodGet, path, "", headers...)
}

func (b *browser) post(path string, form map[string]string, headers ...string) answer {
	b.t.Helper()
	v := url.Values{}
	for k, x := range form {
		v.Set(k, x)
	}
	return b.ask(http.MethodPost, path, v.Encode(), headers...)
}

func (b *browser) login() {
	b.t.Helper()
	if a := b.post("/login", map[string]string{"token": testToken}); a.status != http.StatusSeeOther || b.cookie == nil {
		b.t.Fatalf("login: %d %s", a.status, a.body)
	}
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// confirm opens the question before a control and returns the form's token.
func (b *browser) confirm(action, name string) (csrf, page string) {
	b.t.Helper()
	a := b.get("/confirm?action=" + action + "&name=" + url.QueryEscape(name))
	m := csrfField.FindAllStringSubmatch(a.body, -1)
	if a.status != http.StatusOK || len(m) == 0 {
		b.t.Fatalf("confirm %s: %d %s", action, a.status, a.body)
	}
	return m[len(m)-1][1], a.body
}
