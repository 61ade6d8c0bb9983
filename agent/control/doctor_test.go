// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"vipd/agent/control/api"
)

func (f *fake) Doctor(_ context.Context, seconds int) (api.Doctor, error) {
	return api.Doctor{Node: "fw1", WatchedSeconds: float64(seconds)}, f.err
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	h := New(&fake{}, Options{}).Handler()
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/v1/doctor":            {http.StatusOK, `"watched_seconds":0,"findings":[],"checks":[]`},
		"/v1/doctor?seconds=5":  {http.StatusOK, `"watched_seconds":5`},
		"/v1/doctor?seconds=0":  {http.StatusBadRequest, "1..30"},
		"/v1/doctor?seconds=31": {http.StatusBadRequest, "1..30"},
		"/v1/doctor?seconds=x":  {http.StatusBadRequest, "1..30"},
		"/v1/doctor?minutes=1":  {http.StatusBadRequest, "minutes"},
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil)) // of nobody known, who may read
		if rec.Code != want.status || !strings.Contains(rec.Body.String(), want.body) {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/v1/doctor", nil))
	if rec.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d %s", rec.Code, rec.Body)
	}
}
