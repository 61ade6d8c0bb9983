// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vipd/agent/control/api"
)

// fake is a backend that counts what it was asked to change.
type fake struct {
	mu      sync.Mutex
	changes []string
	block   chan struct{} // if set, verbs wait for it
	entered chan struct{} // if set, told when a verb has begun
	err     error
	seen    func(ctx context.Context) // if set, told a verb's context

	events chan api.Event
	lines  chan api.CaptureLine
	forgot chan struct{}
}

func (f *fake) change(ctx context.Context, what string) (api.Change, error) {
	if f.seen != nil {
		f.seen(ctx)
	}
	if f.entered != nil {
		f.entered <- struct{}{}
	}
	if f.block != nil {
		select {
		case <-f.block:
		case <-ctx.Done():
			return api.Change{}, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes = append(f.changes, what)
	return api.Change{Changed: true}, f.err
}

func (f *fake) Status(context.Context) (api.Status, error) {
	return api.Status{Version: "0.1.0", Node: "fw1", Enabled: true, Maintenance: true, Groups: []api.Group{{Name: "eth0@1"}}}, f.err
}

func (f *fake) Group(_ context.Context, name string) (api.Group, error) {
	if name != "eth0.1@1" {
		return api.Group{}, fmt.Errorf("look up: %w", api.Errorf(api.CodeNoSuchGroup, "no group %q", name))
	}
	return api.Group{Name: name}, nil
}

func (f *fake) SetEnabled(ctx context.Context, on bool) (api.Change, error) {
	return f.change(ctx, fmt.Sprint("enabled ", on))
}

func (f *fake) Plan(_ context.Context, file *api.ConfigFile) (api.Plan, error) {
	if file == nil {
		return api.Plan{Source: "its own"}, f.err
	}
	return api.Plan{Source: fmt.Sprintf("%s %#o %s", file.Name, file.Mode, file.Text)}, f.err
}

func (f *fake) SetMaintenance(ctx context.Context, on bool) (api.Change, error) {
	return f.change(ctx, fmt.Sprint("maintenance ", on))
}

func (f *fake) EnterMaintenance(ctx context.Context, force bool) (api.Change, error) {
	return f.change(ctx, fmt.Sprint("maintenance and wait, force ", force))
}

func (f *fake) Yield(ctx context.Context, name string, force bool) (api.Handover, error) {
	_, err := f.change(ctx, fmt.Sprintf("yield %s, force %v", name, force))
	return api.Handover{Group: name, Outcome: api.OutcomeHandedOver}, err
}

func (f *fake) Restart(ctx context.Context) (api.Restart, error) {
	_, err := f.change(ctx, "restart")
	return api.Restart{PID: 7}, err
}

func (f *fake) Why(_ context.Context, name string) (api.Why, error) {
	return api.Why{Group: name}, f.err
}

func (f *fake) History(_ context.Context, group string, n int) (api.History, error) {
	if f.err != nil {
		return api.History{}, f.err
	}
	return api.History{Transitions: []api.Transition{{Group: group, LagSeconds: float64(n)}}}, nil
}

// left notes the end of a stream.
func (f *fake) left() {
	if f.forgot != nil {
		close(f.forgot)
	}
}

func (f *fake) Events(context.Context) (api.Event, <-chan api.Event, func()) {
	return api.Event{Event: api.EventBegin}, f.events, f.left
}

func (f *fake) Incidents(context.Context) (api.Incidents, error) {
	return api.Incidents{Incidents: []api.Incident{{ID: 3}}}, f.err
}

func (f *fake) Incident(_ context.Context, id uint64) (api.Incident, error) {
	if id != 3 {
		return api.Incident{}, api.Errorf(api.CodeNotFound, "no incident %d", id)
	}
	return api.Incident{ID: id, Records: []api.Record{{Kind: "authentic", Frame: []byte{1, 2}}}}, f.err
}

func (f *fake) Capture(_ context.Context, group string) (api.CaptureBegin, <-chan api.CaptureLine, func(), error) {
	return api.CaptureBegin{Group: group}, f.lines, f.left, f.err
}

func (f *fake) Reload(ctx context.Context) (api.Reload, error) {
	_, err := f.change(ctx, "reload")
	return api.Reload{Added: []string{"eth1@2"}}, err
}

func (f *fake) Demotions(context.Context) (api.Demotions, error) {
	return api.Demotions{Demotion: 7}, f.err
}

func (f *fake) demotion(ctx context.Context, what string) (api.DemotionChange, error) {
	ch, err := f.change(ctx, what)
	return api.DemotionChange{Changed: ch.Changed, Demotion: 7}, err
}

func (f *fake) AddDemotion(ctx context.Context, d api.NewDemotion) (api.DemotionChange, error) {
	return f.demotion(ctx, fmt.Sprintf("add %s %d %v %q", d.Name, d.Value, d.Duration(), d.Reason))
}

func (f *fake) RemoveDemotion(ctx context.Context, name string) (api.DemotionChange, error) {
	return f.demotion(ctx, "remove "+name)
}

func (f *fake) ResetDemotions(ctx context.Context) (api.DemotionChange, error) {
	return f.demotion(ctx, "reset")
}

func (f *fake) done() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changes
}

// start serves on a socket of its own until the test ends.
func start(t *testing.T, b Backend) *api.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "s")
	s := New(b, Options{Socket: path, Version: "0.1.0"})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left: %v", err)
		}
	})
	return &api.Client{Socket: path, Timeout: 10 * time.Second}
}

func TestClientAndServer(t *testing.T) {
	t.Parallel()
	f := &fake{}
	c := start(t, f)
	ctx := t.Context()

	st, err := c.Status(ctx)
	if err != nil || st.Node != "fw1" || st.Groups[0].Addresses == nil || st.Demotions == nil {
		t.Errorf("status %+v, %v", st, err)
	}
	if g, err := c.Group(ctx, "eth0.1@1"); err != nil || g.Name != "eth0.1@1" {
		t.Errorf("group %+v, %v", g, err)
	}
	_, err = c.Group(ctx, "a/b@1")
	var e *api.Error
	if !errors.As(err, &e) || e.Code != api.CodeNoSuchGroup || e.Status != http.StatusNotFound || e.Message != `no group "a/b@1"` {
		t.Errorf("unknown group: %#v", err)
	}
	if m, err := c.Maintenance(ctx); err != nil || !reflect.DeepEqual(m, api.Change{Enabled: true, Maintenance: true}) {
		t.Errorf("maintenance %+v, %v", m, err)
	}
	for _, do := range []func(context.Context) (api.Change, error){c.Disable, c.Enable, c.EnterMaintenance, c.LeaveMaintenance} {
		if ch, err := do(ctx); err != nil || !ch.Changed {
			t.Errorf("%+v, %v", ch, err)
		}
	}
	if r, err := c.Reload(ctx); err != nil || len(r.Added) != 1 {
		t.Errorf("reload %+v, %v", r, err)
	}
	want := []string{"enabled false", "enabled true", "maintenance true", "maintenance false", "reload"}
	if diff := cmp.Diff(want, f.done()); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if raw, err := c.RawStatus(ctx); err != nil || !bytes.Contains(raw, []byte(`"demotions":[]`)) {
		t.Errorf("raw status %s, %v", raw, err)
	}
}

func TestBackendErrors(t *testing.T) {
	t.Parallel()
	f := &fake{}
	c := start(t, f)
	for _, tt := range []struct {
		name string
		err  error
		want api.Error
	}{
		{"plain", errors.New("disk full"), api.Error{Code: api.CodeInternal, Message: "disk full", Status: 500}},
		{
			"config", &api.Error{Code: api.CodeInvalidConfig, Message: "refused", Problems: []string{"f:1: x", "f:2: y"}},
			api.Error{Code: api.CodeInvalidConfig, Message: "refused", Problems: []string{"f:1: x", "f:2: y"}, Status: 422},
		},
		{"late", context.DeadlineExceeded, api.Error{Code: api.CodeTimeout, Message: "vipd did not finish in time: context deadline exceeded; look at its log", Status: 504}},
	} {
		f.err = tt.err
		_, err := c.Reload(t.Context())
		var e *api.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, *e); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

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
		{"demotion too large", "POST", "/v1/demotions", `{"name":"` + strings.Repeat("x", maxBodyBytes) + `","value":1}`, root, nil, 413, api.CodeTooLarge},
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
			r := httptest.NewRequestWithContext(withCaller(t.Context(), tt.caller), tt.method, tt.target, strings.NewReader(tt.body))
			r.Header = tt.header
			if r.Header == nil {
				r.Header = http.Header{}
			}
			w := httptest.NewRecorder()
			New(f, Options{Version: "0.1.0"}).Handler().ServeHTTP(w, r)
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
		r := httptest.NewRequestWithContext(withCaller(t.Context(), tt.caller), tt.method, tt.target, strings.NewReader(tt.body))
		r.Host = "anything.example"
		w := httptest.NewRecorder()
		New(&fake{}, Options{Version: "0.1.0"}).Handler().ServeHTTP(w, r)
		if w.Code != http.StatusOK || w.Header().Get(api.VersionHeader) != "0.1.0" {
			t.Errorf("%s: %d %s", tt.name, w.Code, w.Body)
		}
	}
}

// TestClientHangsUp: what was begun is finished.
func TestClientHangsUp(t *testing.T) {
	t.Parallel()
	f := &fake{block: make(chan struct{}), entered: make(chan struct{}, 1)}
	c := start(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { _, err := c.EnterMaintenance(ctx); gone <- err }()
	<-f.entered
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("client: %v", err)
	}
	close(f.block)
	for deadline := time.Now().Add(5 * time.Second); len(f.done()) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the change was given up with its client")
		}
		time.Sleep(time.Millisecond)
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
		{"two lengths", "POST /v1/disable HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "HTTP/1.1 400 "},
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

// TestTooManyClients: a client that fills the socket is refused and takes nothing from
// the places kept for root.
func TestTooManyClients(t *testing.T) {
	t.Parallel()
	l := &listener{}
	var release []func()
	for range maxClients {
		r, ok := l.admit(false)
		if !ok {
			t.Fatal("refused below the limit")
		}
		release = append(release, r)
	}
	if _, ok := l.admit(false); ok {
		t.Error("a reader beyond the limit")
	}
	for range reservedClients {
		if _, ok := l.admit(true); !ok {
			t.Error("root was locked out")
		}
	}
	if _, ok := l.admit(true); ok {
		t.Error("root beyond the limit")
	}
	for _, r := range release[:reservedClients+1] {
		r()
		r() // twice is once
	}
	if _, ok := l.admit(false); !ok {
		t.Error("a place given back is not to be had")
	}
}

// TestBusyAnswer fills a real socket with requests that have begun, which nobody
// evicts; as root the limit is that of writers.
func TestBusyAnswer(t *testing.T) {
	t.Parallel()
	f := &fake{block: make(chan struct{}), entered: make(chan struct{})}
	c := start(t, f)
	var held []net.Conn
	for range maxClients + reservedClients {
		conn, err := net.Dial("unix", c.Socket)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
		if _, err := io.WriteString(conn, "POST /v1/enable HTTP/1.1\r\nHost: vipd\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-f.entered
	}
	_, err := c.Status(t.Context())
	var e *api.Error
	if !errors.As(err, &e) || e.Code != api.CodeBusy {
		t.Errorf("beyond the limit: %v", err)
	}
	close(f.block)
	for _, conn := range held {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		if _, err = c.Status(t.Context()); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after they left: %v", err)
		}
		time.Sleep(time.Millisecond)
	}
}
