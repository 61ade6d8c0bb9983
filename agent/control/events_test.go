// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
)

func TestHistoryQuery(t *testing.T) {
	t.Parallel()
	c := start(t, &fake{})
	h, err := c.History(t.Context(), "eth0@1", 7)
	if err != nil || len(h.Transitions) != 1 || h.Transitions[0].Group != "eth0@1" || h.Transitions[0].LagSeconds != 7 {
		t.Errorf("%+v, %v", h, err)
	}
	h, err = c.History(t.Context(), "", 0)
	if err != nil || h.Transitions[0].Group != "" || h.Transitions[0].LagSeconds != 0 {
		t.Errorf("all: %+v, %v", h, err)
	}
	for query, want := range map[string]string{
		"n=0":     "n is \\\"0\\\"; it must be a number, 1 or more",
		"n=x":     "it must be a number, 1 or more",
		"n=-1":    "it must be a number, 1 or more",
		"n=1&n=2": "n is given more than once; keep one",
		"since=1": "there is no parameter \\\"since\\\"; allowed are group, n",
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/history?"+query, nil)
		New(&fake{}, Options{}).Handler().ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	f := &fake{events: make(chan api.Event, 4), forgot: make(chan struct{})}
	c := start(t, f)
	f.events <- api.Event{Event: api.EventTransition, Transition: &api.Transition{To: "MASTER"}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []string
	err := c.Events(ctx, func(line []byte) error {
		var ev api.Event
		if err := json.Unmarshal(line, &ev); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if got = append(got, ev.Event); len(got) == 2 {
			cancel() // Ctrl-C
		}
		return nil
	})
	if err != nil || strings.Join(got, " ") != "begin transition" {
		t.Errorf("%v, %v", got, err)
	}
	select {
	case <-f.forgot:
	case <-time.After(5 * time.Second):
		t.Error("the server goes on listening for a client that is gone")
	}
}

// The stream lives longer than a request may take to be read, and ends with the server,
// which does not wait for it.
func TestEventsEndWithTheServer(t *testing.T) {
	t.Parallel()
	f := &fake{events: make(chan api.Event, 4), forgot: make(chan struct{})}
	path := filepath.Join(t.TempDir(), "s")
	s := New(f, Options{Socket: path})
	s.http.ReadTimeout, s.http.WriteTimeout = 100*time.Millisecond, 100*time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Run(ctx) }()
	<-s.Ready()
	lines, ended := make(chan string, 8), make(chan error, 1)
	go func() {
		ended <- (&api.Client{Socket: path}).Events(t.Context(), func(line []byte) error {
			lines <- string(line)
			return nil
		})
	}()
	<-lines
	time.Sleep(300 * time.Millisecond)
	f.events <- api.Event{Event: api.EventSwitch}
	select {
	case line := <-lines:
		if !strings.Contains(line, `"event":"switch"`) {
			t.Errorf("got %s", line)
		}
	case err := <-ended:
		t.Fatalf("the stream ended: %v", err)
	}
	began := time.Now()
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the server took %v to stop", took)
	}
	err := <-ended
	u, ok := errors.AsType[*api.UnreachableError](err)
	if !ok || !strings.Contains(u.Error(), "it ended the stream of events") {
		t.Errorf("the client was told %v", err)
	}
}

func TestEventsRefused(t *testing.T) {
	t.Parallel()
	for _, r := range []*http.Request{
		httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/events", nil),
		httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/events", strings.NewReader(`{"from":1}`)),
	} {
		w := httptest.NewRecorder()
		New(&fake{}, Options{}).Handler().ServeHTTP(w, r)
		if w.Code < 400 || !strings.Contains(w.Body.String(), `"error"`) {
			t.Errorf("%s: %d %s", r.Method, w.Code, w.Body)
		}
	}
}
