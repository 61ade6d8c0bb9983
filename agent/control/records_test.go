// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
)

func (f *fake) get(t *testing.T, caller Caller, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(withCaller(t.Context(), caller), http.MethodGet, path, nil)
	New(f, Options{}).Handler().ServeHTTP(w, r)
	return w
}

// TestRecords: a reader gets the story, the frames are root's.
func TestRecords(t *testing.T) {
	t.Parallel()
	root, reader := Caller{UID: 0}, Caller{UID: uint32(os.Geteuid()) + 4242}
	f := &fake{}
	if w := f.get(t, reader, "/v1/records"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"id":3`) {
		t.Errorf("list: %d %s", w.Code, w.Body)
	}
	w := f.get(t, root, "/v1/records/3")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"frame":"AQI="`) {
		t.Errorf("root: %d %s", w.Code, w.Body)
	}
	w = f.get(t, reader, "/v1/records/3")
	if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "frame\":") ||
		!strings.Contains(w.Body.String(), `"kind":"authentic"`) {
		t.Errorf("reader: %d %s", w.Code, w.Body)
	}
	for path, want := range map[string]int{
		"/v1/records/4":       404,
		"/v1/records/x":       400,
		"/v1/records/-1":      400,
		"/v1/records/3?all=1": 400,
	} {
		if w := f.get(t, root, path); w.Code != want {
			t.Errorf("%s: %d %s, want %d", path, w.Code, w.Body, want)
		}
	}
	w = f.get(t, reader, "/v1/groups/eth0@1/capture")
	if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "only root may capture") {
		t.Errorf("a reader captures: %d %s", w.Code, w.Body)
	}
}

func TestCapture(t *testing.T) {
	t.Parallel()
	f := &fake{lines: make(chan api.CaptureLine, 4), forgot: make(chan struct{})}
	c := start(t, f)
	lost := uint64(7)
	f.lines <- api.CaptureLine{Record: &api.Record{Kind: "arp_reply"}}
	f.lines <- api.CaptureLine{Lost: &lost}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []string
	err := c.Capture(ctx, "eth0@1", func(line []byte) error {
		var l api.CaptureLine
		if err := json.Unmarshal(line, &l); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		switch {
		case l.Begin != nil:
			got = append(got, l.Begin.Group)
		case l.Record != nil:
			got = append(got, l.Record.Kind)
		case l.Lost != nil && *l.Lost == lost:
			got = append(got, "lost")
			cancel() // Ctrl-C
		}
		return nil
	})
	if err != nil || strings.Join(got, " ") != "eth0@1 arp_reply lost" {
		t.Errorf("%v, %v", got, err)
	}
	select {
	case <-f.forgot:
	case <-time.After(5 * time.Second):
		t.Error("the capture goes on for a client that is gone")
	}
	f.err = api.Errorf(api.CodeBusy, "4 captures are running already")
	err = c.Capture(t.Context(), "eth0@1", func([]byte) error { return nil })
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.CodeBusy {
		t.Error(err)
	}
}
