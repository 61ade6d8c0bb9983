// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/spec"
	"vipd/tests/lab"
)

// Every answer of a real daemon is what the OpenAPI file says, over all its routes; a route that this test does not
// know how to ask fails it.
func TestAPIAnswersAsDescribed(t *testing.T) {
	t.Parallel()
	file, err := spec.Load("../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	checked := oneVIP(0)
	checked.Extra = `[[check]]
name = "fine"
type = "command"
command = ["/bin/true"]
interval = "1s"
timeout = "1s"
`
	p := newPair(t, checked, oneVIP(50))
	p.start()
	socket := p.a.Socket()
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", socket)
			},
		},
	}
	ask := func(method, route, path, body string) (status int) {
		ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, method, "http://vipd"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		defer resp.Body.Close()
		var text []byte
		if slices.Contains([]string{"/v1/events", "/v1/groups/{name}/capture"}, route) { // it does not end
			for err == nil && !bytes.HasSuffix(text, []byte("\n")) {
				buf := make([]byte, 4096)
				var n int
				n, err = resp.Body.Read(buf)
				text = append(text, buf[:n]...)
			}
		} else {
			text, err = io.ReadAll(resp.Body)
		}
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		if err := file.Answer(method, route, resp.StatusCode, resp.Header.Get("Content-Type"), text); err != nil {
			t.Errorf("%s %s: %v", method, path, err)
		}
		return resp.StatusCode
	}
	asked := []string{}
	get := func(route, path string) {
		asked = append(asked, "GET "+route)
		if status := ask("GET", route, path, ""); status != 200 {
			t.Errorf("GET %s: status %d", path, status)
		}
	}
	verb := func(method, route, path, body string) {
		asked = append(asked, method+" "+route)
		if status := ask(method, route, path, body); status != 200 {
			t.Errorf("%s %s: status %d", method, path, status)
		}
	}
	verb("POST", "/v1/demotions", "/v1/demotions", `{"name":"a","value":-1,"for":600}`)
	reads := func() {
		get("/v1/status", "/v1/status")
		get("/v1/groups/{name}", "/v1/groups/"+group)
		get("/v1/why/{name}", "/v1/why/"+group)
		get("/v1/history", "/v1/history?group="+group+"&n=5")
		get("/v1/maintenance", "/v1/maintenance")
		get("/v1/demotions", "/v1/demotions")
		get("/v1/events", "/v1/events")
		get("/v1/groups/{name}/capture", "/v1/groups/"+group+"/capture")
		get("/v1/peers", "/v1/peers")
		get("/v1/checks", "/v1/checks")
		get("/v1/records", "/v1/records")
		get("/v1/records/{id}", "/v1/records/1")
	}
	reads() // as MASTER
	verb("POST", "/v1/checks/{name}/run", "/v1/checks/fine/run", "")
	verb("POST", "/v1/plan", "/v1/plan", "[carp]\npreempt = false\n")
	verb("POST", "/v1/reload", "/v1/reload", "")
	verb("DELETE", "/v1/demotions/{name}", "/v1/demotions/a", "")
	verb("DELETE", "/v1/demotions/reset", "/v1/demotions/reset", "")
	verb("POST", "/v1/demotions/reset", "/v1/demotions/reset", "")
	verb("POST", "/v1/groups/{name}/yield", "/v1/groups/"+group+"/yield", "")
	p.a.WaitState(group, lab.Backup, patience)
	reads() // as BACKUP
	verb("POST", "/v1/peers/forget", "/v1/peers/forget", `{"address":"`+addrB.String()+`"}`)
	verb("POST", "/v1/maintenance/enter", "/v1/maintenance/enter", `{"wait":true}`)
	verb("POST", "/v1/maintenance/leave", "/v1/maintenance/leave", "")
	verb("POST", "/v1/disable", "/v1/disable", "")
	reads() // in INIT
	verb("POST", "/v1/enable", "/v1/enable", "")
	get("/v1/doctor", "/v1/doctor?seconds=1")

	for _, tt := range []struct {
		method, route, path, body string
		status                    int
	}{
		{"GET", "/v1/groups/{name}", "/v1/groups/eth9@9", "", 404},
		{"GET", "/v1/history", "/v1/history?n=0", "", 400},
		{"POST", "/v1/demotions", "/v1/demotions", `{"name":"maintenance","value":1}`, 409},
		{"POST", "/v1/plan", "/v1/plan", "[carp]\ndscp = 99\n", 422},
	} {
		if status := ask(tt.method, tt.route, tt.path, tt.body); status != tt.status {
			t.Errorf("%s %s: status %d, want %d", tt.method, tt.path, status, tt.status)
		}
	}
	verb("POST", "/v1/restart", "/v1/restart", "") // the last one

	for _, op := range file.Operations() {
		if !slices.Contains(asked, op.Method+" "+op.Path) {
			t.Errorf("%s %s was not asked: add it to this test", op.Method, op.Path)
		}
	}
}
