// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
)

// TestIncidents: the group's page lists what was recorded; the frames are for those who are logged in.
func TestIncidents(t *testing.T) {
	t.Parallel()
	n := newNode(2)
	at := time.Now()
	n.incidents = []api.Incident{
		{ID: 7, Group: "eth0@1", Time: at, From: "BACKUP", To: "MASTER", Reason: "master_timeout", Frames: 1},
		{ID: 8, Group: "eth0@2", Time: at, From: "MASTER", To: "BACKUP", Reason: "better_advert", Frames: 1},
	}
	for i := range n.incidents {
		n.incidents[i].Records = []api.Record{{Time: at, Kind: "authentic", Direction: "in", Interface: "eth0", Text: "advert", Length: 60, Frame: make([]byte, 60)}}
	}
	s := serve(t, n, nil)
	b := s.browser()
	if a := b.get("/group?name=eth0@2"); !strings.Contains(a.body, "vipctl record show 8") || strings.Contains(a.body, "/incident?id=") || strings.Contains(a.body, "show 7") {
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
	if a.status != http.StatusOK || !strings.HasPrefix(a.body, "\x0a\x0d\x0d\x0a") || a.header.Get("Content-Disposition") != `attachment; filename="incident-8.pcapng"` || a.header.Get("X-Content-Type-Options") != "nosniff" {
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
