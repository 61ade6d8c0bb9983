// SPDX-License-Identifier: Apache-2.0

package control

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"vipd/agent/control/api"
)

func TestPlanRequest(t *testing.T) {
	t.Parallel()
	root := withCaller(t.Context(), Caller{UID: 0})
	for _, tt := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"/v1/plan", "", 200, `"source":"its own"`},
		{"/v1/plan", "# a config", 200, `"source":"request 0600 # a config"`},
		{"/v1/plan?name=new.toml&mode=644", "x", 200, `"source":"new.toml 0644 x"`},
		{"/v1/plan?name=empty.toml", "", 200, `"source":"empty.toml 0600 "`},
		{"/v1/plan", strings.Repeat("#", maxBodyBytes+1), 200, `"source":"request 0600 ####`},
		{"/v1/plan", strings.Repeat("#", api.MaxConfig+1), 413, "exceeds 16777216 bytes"},
		{"/v1/plan?mode=rw", "x", 400, "octal"},
		{"/v1/plan?mode=7777", "x", 400, "octal"},
		{"/v1/plan?name=", "x", 400, "allowed are 1..4096"},
		{"/v1/plan?file=/etc/vipd/vipd.toml", "", 400, `there is no parameter \"file\"; allowed are name, mode`},
		{"/v1/plan?name=a&name=b", "", 400, "name is given more than once"},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(root, http.MethodPost, tt.path, strings.NewReader(tt.body))
		New(&fake{}, Options{}).Handler().ServeHTTP(w, r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: %d %.200s", tt.path, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(withCaller(t.Context(), nobody()), http.MethodPost, "/v1/plan", nil)
	New(&fake{}, Options{}).Handler().ServeHTTP(w, r)
	if w.Code != 403 {
		t.Errorf("a reader may plan: %d", w.Code)
	}
}

// TestParameters: no route takes a parameter that it does not know.
func TestParameters(t *testing.T) {
	t.Parallel()
	f := &fake{}
	s := New(f, Options{})
	root := withCaller(t.Context(), Caller{UID: 0})
	for _, rt := range s.routes() {
		for method := range strings.SplitSeq(rt.methods(), ", ") {
			path := strings.ReplaceAll(rt.path, "{name}", "eth0.1@1") + "?dry=1"
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(root, method, path, nil))
			if w.Code != 400 || !strings.Contains(w.Body.String(), `there is no parameter \"dry\"`) {
				t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
			}
		}
	}
	if len(f.changes) > 0 {
		t.Errorf("changed %q", f.changes)
	}
}
