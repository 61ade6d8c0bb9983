// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
)

// TestRefused holds that a refused request is answered as JSON with a code and
// changes nothing.
func TestRefused(t *testing.T) {
	t.Parallel()
	root := Caller{UID: 0}
	reader := Caller{UID: uint32(os.Geteuid()) + 4242}
	tests := []struct {
		name, method, target, body string
		caller                     Caller
		header                     http.Header
		status                     int
		code                       string
	}{
		{"unknown route", "GET", "/v2/status", "", root, nil, 404, api.CodeNotFound},
		{"top", "GET", "/", "", root, nil, 404, api.CodeNotFound},
		{"get a verb", "GET", "/v1/disable", "", root, nil, 405, api.CodeMethodNotAllowed},
		{"post a noun", "POST", "/v1/status", "", root, nil, 405, api.CodeMethodNotAllowed},
		{"put", "PUT", "/v1/disable", "", root, nil, 405, api.CodeMethodNotAllowed},
		{"reader disables", "POST", "/v1/disable", "", reader, nil, 403, api.CodeForbidden},
		{"reader reloads", "POST", "/v1/reload", "", reader, nil, 403, api.CodeForbidden},
		{"nobody", "POST", "/v1/maintenance/enter", "", nobody(), nil, 403, api.CodeForbidden},
		{"web page", "POST", "/v1/disable", "", root, http.Header{"Origin": {"http://evil.example"}}, 403, api.CodeForbidden},
		{"web page reads", "GET", "/v1/status", "", root, http.Header{"Origin": {"null"}}, 403, api.CodeForbidden},
		{"body too large", "POST", "/v1/disable", strings.Repeat(" ", maxBodyBytes+1), root, nil, 413, api.CodeTooLarge},
		{"body no JSON", "POST", "/v1/disable", "now!", root, nil, 400, api.CodeBadRequest},
		{"body of a later version", "POST", "/v1/maintenance/enter", `{"until":true}`, root, nil, 400, api.CodeBadRequest},
		{"delete a noun", "DELETE", "/v1/status", "", root, nil, 405, api.CodeMethodNotAllowed},
		{"get one demotion", "GET", "/v1/demotions/ops", "", root, nil, 405, api.CodeMethodNotAllowed},
		{"put a demotion", "PUT", "/v1/demotions", "", root, nil, 405, api.CodeMethodNotAllowed},
		{"reader demotes", "POST", "/v1/demotions", `{"name":"ops","value":1}`, reader, nil, 403, api.CodeForbidden},
		{"reader removes", "DELETE", "/v1/demotions/ops", "", reader, nil, 403, api.CodeForbidden},
		{"reader resets", "POST", "/v1/demotions/reset", "", reader, nil, 403, api.CodeForbidden},
		{
			"demotion too large", "POST", "/v1/demotions", `{"name":"` + strings.Repeat("x", maxBodyBytes) + `","value":1}`,
			root, nil, 413, api.CodeTooLarge,
		},
		{"demotion without a body", "POST", "/v1/demotions", "", root, nil, 400, api.CodeBadRequest},
		{"body to remove", "DELETE", "/v1/demotions/ops", `{"force":true}`, root, nil, 400, api.CodeBadRequest},
		{"body to reset", "POST", "/v1/demotions/reset", `{"all":true}`, root, nil, 400, api.CodeBadRequest},
		{"remove maintenance", "DELETE", "/v1/demotions/maintenance", "", root, nil, 409, api.CodeReserved},
		{"remove a check", "DELETE", "/v1/demotions/check:a", "", root, nil, 409, api.CodeReserved},
		{"remove no name", "DELETE", "/v1/demotions/-x", "", root, nil, 400, api.CodeBadRequest},
		{"no such group", "GET", "/v1/groups/x", "", reader, nil, 404, api.CodeNoSuchGroup},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := &fake{}
			r := httptest.NewRequestWithContext(
				withCaller(t.Context(), tt.caller),
				tt.method,
				tt.target,
				strings.NewReader(tt.body),
			)
			r.Header = tt.header
			if r.Header == nil {
				r.Header = http.Header{}
			}
			w := httptest.NewRecorder()
			New(f, Options{}).Handler().ServeHTTP(w, r)
			var e api.ErrorBody
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Error == nil || e.Error.Message == "" {
				t.Fatalf("answer %q: %v", w.Body, err)
			}
			if w.Code != tt.status || e.Error.Code != tt.code || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("status %d, code %s, want %d, %s", w.Code, e.Error.Code, tt.status, tt.code)
			}
			if tt.name == "put a demotion" && w.Header().Get("Allow") != "GET, POST" {
				t.Errorf("Allow is %q", w.Header().Get("Allow"))
			}
			if tt.status == http.StatusMethodNotAllowed && w.Header().Get("Allow") == "" {
				t.Error("405 without Allow")
			}
			if n := f.done(); n != nil {
				t.Errorf("changed %v", n)
			}
		})
	}
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	reader := Caller{UID: uint32(os.Geteuid()) + 4242}
	own := Caller{UID: uint32(os.Geteuid())}
	for _, tt := range []struct {
		name, method, target, body string
		caller                     Caller
	}{
		{"reader reads", "GET", "/v1/status", "", reader},
		{"reader reads maintenance", "GET", "/v1/maintenance", "", reader},
		{"head", "HEAD", "/v1/status", "", reader},
		{"root changes", "POST", "/v1/disable", "", Caller{UID: 0}},
		{"own user changes", "POST", "/v1/disable", "{}\n", own},
	} {
		r := httptest.NewRequestWithContext(
			withCaller(t.Context(), tt.caller),
			tt.method,
			tt.target,
			strings.NewReader(tt.body),
		)
		r.Host = "anything.example"
		w := httptest.NewRecorder()
		New(&fake{}, Options{}).Handler().ServeHTTP(w, r)
		if w.Code != http.StatusOK || w.Header().Get(api.VersionHeader) != api.Version {
			t.Errorf("%s: %d %s", tt.name, w.Code, w.Body)
		}
	}
}

// TestGarbage: nonsense on the socket gets an answer and harms nobody.
func TestGarbage(t *testing.T) {
	t.Parallel()
	f := &fake{}
	c := start(t, f)
	for _, tt := range []struct{ name, send, want string }{
		{"text", "hello vipd\r\n\r\n", "HTTP/1.1 400 "},
		{"binary", "\x16\x03\x01\x00\xff\x00\x00\n\n\x00", "HTTP/1.1 400 "},
		{"newlines", "\n\n\n\n", "HTTP/1.1 400 "},
		{"no host", "POST /v1/disable HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
		{"bad length", "POST /v1/disable HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400 "},
		{
			"two lengths",
			"POST /v1/disable HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
			"HTTP/1.1 400 ",
		},
		{"long header", "GET /" + strings.Repeat("x", 2*maxHeaderBytes) + " HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 431 "},
		{"half a verb", "POST /v1/disable HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{", "HTTP/1.1 400 "},
		{"other protocol", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1."},
	} {
		conn, err := net.Dial("unix", c.Socket)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(tt.send)); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		var answer bytes.Buffer
		if _, err := answer.ReadFrom(conn); err != nil && answer.Len() == 0 {
			t.Errorf("%s: %v", tt.name, err)
		}
		if !strings.HasPrefix(answer.String(), tt.want) {
			t.Errorf("%s: answer %q, want %q", tt.name, answer.String(), tt.want)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("after the garbage: %v", err)
	}
	if n := f.done(); n != nil {
		t.Errorf("garbage changed %v", n)
	}
}
