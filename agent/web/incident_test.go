// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
)

// The group's page lists its incidents to all readers; downloading their frames requires a login.
func TestIncidentFramesRequireLogin(t *testing.T) {
	t.Parallel()
	n := newNode(2)
	at := time.Now()
	n.incidents = []api.Incident{
		{ID: 7, Group: "eth0@1", Time: at, From: "BACKUP", To: "MASTER", Reason: "master_timeout", Frames: 1},
		{ID: 8, Group: "eth0@2", Time: at, From: "MASTER", To: "BACKUP", Reason: "better_advert", Frames: 1},
	}
	for i := range n.incidents {
		n.incidents[i].Records = []api.Record{
			{
				Time:      at,
				Kind:      "authentic",
				Direction: "in",
				Interface: "eth0",
				Text:      "advert",
				Length:    60,
				Frame:     make([]byte, 60),
			},
		}
	}
	s := serve(t, n, nil)
	b := s.browser()
	if a := b.get("/group?name=eth0@2"); !strings.Contains(a.body, "vipctl record show 8") ||
		strings.Contains(a.body, "/incident?id=") || strings.Contains(a.body, "show 7") {
		t.Errorf("not logged in: %s", a.body)
	}
	if a := b.get("/incident?id=8"); a.status != http.StatusForbidden || s.count(refusedLogin) != 1 {
		t.Errorf("not logged in: %d %s", a.status, a.body)
	}
	b.login()
	if a := b.get("/group?name=eth0@2"); !strings.Contains(a.body, `href="/incident?id=8"`) {
		t.Errorf("logged in: %s", a.body)
	}
	a := b.get("/incident?id=8")
	if a.status != http.StatusOK || !strings.HasPrefix(a.body, "\x0a\x0d\x0d\x0a") ||
		a.header.Get("Content-Disposition") != `attachment; filename="incident-8.pcapng"` ||
		a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %v %q", a.status, a.header, a.body)
	}
	for query, want := range map[string]int{"id=9": 404, "id=x": 400, "": 400, "id=-1": 400} {
		if a := b.get("/incident?" + query); a.status != want {
			t.Errorf("%q: %d %s, want %d", query, a.status, a.body, want)
		}
	}
	readOnly := serve(t, n, func(o *Options) { o.Controls = false }).browser()
	if a := readOnly.get("/incident?id=8"); a.status != http.StatusForbidden || !strings.Contains(a.body, "read-only") {
		t.Errorf("read-only: %d %s", a.status, a.body)
	}
}

// Transitions on the status page and on the group's page link to the incident that contains them.
func TestTransitionsLinkTheirIncidents(t *testing.T) {
	t.Parallel()
	n := newNode(2)
	at := time.Now()
	change := func(group string, ago time.Duration, from, to string) api.Transition {
		return api.Transition{Group: group, Time: at.Add(-ago), From: from, To: to, Reason: "preempt"}
	}
	record := func(id uint64, tr api.Transition) api.Incident {
		return api.Incident{
			ID:          id,
			Group:       tr.Group,
			Time:        tr.Time.Add(time.Millisecond),
			From:        tr.From,
			To:          tr.To,
			Reason:      tr.Reason,
			Frames:      3,
			Transitions: 1,
		}
	}
	old := change("eth0@1", time.Hour, "BACKUP", "MASTER") // its incident is no longer listed
	n.past = []api.Transition{
		old, change("eth0@1", 3*time.Minute, "MASTER", "BACKUP"), change("eth0@2", 2*time.Minute, "BACKUP", "MASTER"),
		change("eth0@1", time.Minute, "BACKUP", "MASTER"),
		change("eth0@1", time.Minute, "MASTER", "BACKUP"), // in the incident of the one before
		change("eth0@1", time.Second, "BACKUP", "MASTER"), // not in any incident
	}
	n.incidents = append(n.incidents, record(3, old))
	for i := range uint64(detailIncidents) - 2 { // of transitions that are no longer in the history
		n.incidents = append(n.incidents, record(4+i, change("eth0@1", 30*time.Minute, "BACKUP", "INIT")))
	}
	n.incidents = append(n.incidents, record(20, n.past[1]), record(21, n.past[2]), record(22, n.past[3]))
	n.incidents[len(n.incidents)-1].Transitions = 2
	b := serve(t, n, nil).browser()
	links := func(path string) string {
		_, list, _ := strings.Cut(b.get(path).body, `id="t-past"`)
		list, _, _ = strings.Cut(list, "</section>")
		var out []string
		for _, m := range regexp.MustCompile(`href="(/group\?name=[^"]*#recording-[0-9]+)"`).FindAllStringSubmatch(list, -1) {
			link, err := url.PathUnescape(html.UnescapeString(m[1]))
			if err != nil {
				t.Error(err)
			}
			out = append(out, link)
		}
		return strings.Join(out, " ")
	}
	want := "/group?name=eth0@1#recording-22 /group?name=eth0@1#recording-22 " +
		"/group?name=eth0@2#recording-21 /group?name=eth0@1#recording-20"
	if got := links("/"); got != want {
		t.Errorf("the status page links %q, want %q", got, want)
	}
	n.mu.Lock()
	n.past = n.past[2:3]
	n.mu.Unlock()
	if got, want := links("/group?name=eth0@2"), "/group?name=eth0@2#recording-21"; got != want {
		t.Errorf("the group's page links %q, want %q", got, want)
	}
	for group, ids := range map[string][]int{"eth0@1": {20, 22}, "eth0@2": {21}} {
		page := b.get("/group?name=" + group).body
		for _, id := range ids {
			if !strings.Contains(page, fmt.Sprintf(`<li id="recording-%d">`, id)) {
				t.Errorf("the page of %s does not show incident %d", group, id)
			}
		}
		if strings.Contains(page, `id="recording-3"`) {
			t.Error("the oldest incident is listed: the test no longer covers unlisted incidents")
		}
	}
}
