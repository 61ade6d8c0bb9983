// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
)

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

func TestStreamSendsOnlyChanges(t *testing.T) {
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
		t.Errorf("the page was updated only after %v", took)
	}
	if !strings.Contains(m.Set[id], "BACKUP") || m.Rows != nil || len(m.Say) != 1 ||
		m.Say[0] != "eth0@2 is now BACKUP: more frequent advertisement received." ||
		m.Set["transitions"] == "" {
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
