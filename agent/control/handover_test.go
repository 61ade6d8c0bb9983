// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vipd/agent/control/api"
)

func TestHandover(t *testing.T) {
	t.Parallel()
	f := &fake{}
	c := start(t, f)
	for _, force := range []bool{false, true} {
		h, err := c.Yield(t.Context(), "eth0.1@1", force)
		if err != nil || h.Group != "eth0.1@1" || h.Outcome != api.OutcomeHandedOver {
			t.Errorf("yield, force %v: %+v, %v", force, h, err)
		}
		if ch, err := c.EnterMaintenanceAndWait(t.Context(), force); err != nil || !ch.Changed {
			t.Errorf("maintenance, force %v: %+v, %v", force, ch, err)
		}
	}
	if _, err := c.EnterMaintenance(t.Context()); err != nil {
		t.Error(err)
	}
	if r, err := c.Restart(t.Context()); err != nil || r.PID != 7 {
		t.Errorf("restart: %+v, %v", r, err)
	}
	want := []string{
		"yield eth0.1@1, force false", "maintenance and wait, force false",
		"yield eth0.1@1, force true", "maintenance and wait, force true", "maintenance true", "restart",
	}
	if diff := cmp.Diff(want, f.done()); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	f.err = api.Errorf(api.CodeNoSuccessor, "nobody")
	_, err := c.Yield(t.Context(), "eth0.1@1", false)
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.CodeNoSuccessor || e.Status != http.StatusConflict {
		t.Errorf("without a successor: %v", err)
	}
}

// TestHandoverBody: a request that is not understood changes nothing.
func TestHandoverBody(t *testing.T) {
	t.Parallel()
	const yield, enter = "/v1/groups/eth0@1/yield", "/v1/maintenance/enter"
	for _, tt := range []struct {
		path, body string
		status     int
		want       string
	}{
		{yield, "", 200, "yield eth0@1, force false"},
		{yield, "{}", 200, "yield eth0@1, force false"},
		{yield, `{"force":true}`, 200, "yield eth0@1, force true"},
		{yield, `{"force":1}`, 400, "force is 1 in the request body; it must be true or false"},
		{yield, `{"force":null}`, 400, "force is null in the request body; it must be true or false"},
		{yield, `{"wait":true}`, 400, "unknown fields in the request body: wait; allowed are force"},
		{enter, " \n", 200, "maintenance true"},
		{enter, "{}", 200, "maintenance true"},
		{enter, `{"wait":false,"force":false}`, 200, "maintenance true"},
		{enter, `{"wait":true}`, 200, "maintenance and wait, force false"},
		{enter, `{"wait":true,"force":true}`, 200, "maintenance and wait, force true"},
		{enter, `{"force":true}`, 400, "force has no effect without wait: set wait as well, or remove force"},
		{enter, `{"wait":"yes"}`, 400, `wait is \"yes\" in the request body; it must be true or false`},
		{enter, `wait`, 400, "the request body is not a JSON object"},
	} {
		f := &fake{}
		r := httptest.NewRequestWithContext(
			withCaller(t.Context(), Caller{UID: 0}),
			http.MethodPost,
			tt.path,
			strings.NewReader(tt.body),
		)
		w := httptest.NewRecorder()
		New(f, Options{}).Handler().ServeHTTP(w, r)
		got := w.Body.String()
		if tt.status == http.StatusOK {
			got = strings.Join(f.done(), ",")
		} else if f.done() != nil {
			t.Errorf("%s %s: refused, and changed %v", tt.path, tt.body, f.done())
		}
		if w.Code != tt.status || !strings.Contains(got, tt.want) {
			t.Errorf("%s %s: %d %s, want %d %s", tt.path, tt.body, w.Code, got, tt.status, tt.want)
		}
	}
	// Whoever may only read may not hand over.
	f := &fake{}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, yield, nil)
	w := httptest.NewRecorder()
	New(f, Options{}).Handler().ServeHTTP(w, r)
	if w.Code != http.StatusForbidden || f.done() != nil {
		t.Errorf("a reader: %d, changed %v", w.Code, f.done())
	}
}

// TestHandoverOutlastsOtherVerbs: a handover is bounded by its protocol, other verbs by the server. The fake
// hands over as slowly as it is told to.
func TestHandoverOutlastsOtherVerbs(t *testing.T) {
	t.Parallel()
	for path, patient := range map[string]bool{
		"/v1/groups/eth0@1/yield": true, "/v1/maintenance/enter": true, "/v1/reload": false, "/v1/disable": false,
	} {
		bounded := false
		f := &fake{seen: func(ctx context.Context) { _, bounded = ctx.Deadline() }}
		r := httptest.NewRequestWithContext(
			withCaller(t.Context(), Caller{UID: 0}),
			http.MethodPost,
			path,
			strings.NewReader(""),
		)
		if patient && strings.Contains(path, "maintenance") {
			r = httptest.NewRequestWithContext(
				withCaller(t.Context(), Caller{UID: 0}),
				http.MethodPost,
				path,
				strings.NewReader(`{"wait":true}`),
			)
		}
		w := httptest.NewRecorder()
		New(f, Options{}).Handler().ServeHTTP(w, r)
		if w.Code != http.StatusOK || bounded == patient {
			t.Errorf("%s: %d, bounded by the server: %v", path, w.Code, bounded)
		}
	}
}

// The daemon leaves when the client has the answer, and stays if it refuses.
func TestRestartIsAnsweredBeforeTheDaemonLeaves(t *testing.T) {
	t.Parallel()
	answered, left := make(chan struct{}), make(chan struct{})
	f := &fake{leave: func() {
		<-answered
		close(left)
	}}
	c := start(t, f)
	f.err = api.Errorf(api.CodeInvalidConfig, "no")
	if _, err := c.Restart(t.Context()); err == nil {
		t.Error("not refused")
	}
	f.err = nil
	if r, err := c.Restart(t.Context()); err != nil || r.PID != 7 {
		t.Errorf("%+v, %v", r, err)
	}
	close(answered)
	<-left
}
